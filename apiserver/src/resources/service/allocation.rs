//! Which addresses and ports a write of a Service needs, and which it no longer needs.

use std::collections::HashSet;

use api::field::{Error, ErrorList, Path};
use api::names::parse_ip_sloppy;
use api::status::{GroupKind, Status};
use k8s_openapi::api::core::v1::{Service, ServicePort, ServiceSpec};

use super::Services;
use super::book::Owner;
use super::claims::{Claims, Refusal, give_back};
use super::families::{initialise, is_settled};
use super::pool::{CLUSTER_IPS, NODE_PORTS};
use super::spec::{EXTERNAL_NAME, LOAD_BALANCER, Meaning, NONE, node_port};
use crate::reservation::{Ledger, Reservation};

/// Claims what `new` needs and `old` has not, and fills it in.
pub(super) async fn reserve(
    services: &Services,
    ledger: &Ledger,
    new: &mut Service,
    old: Option<&Service>,
    dry_run: bool,
) -> Result<Reservation, Status> {
    let name = new.metadata.name.clone().unwrap_or_default();
    let owner = Owner::of(&old.unwrap_or(new).metadata);
    let spec = new.spec.get_or_insert_default();
    let none = ServiceSpec::default();
    let old = old.map(|old| old.spec.as_ref().unwrap_or(&none));
    initialise(spec, old, services.config.families()).map_err(|errors| invalid(&name, &errors))?;
    let mut allocation =
        Allocation { services, claims: Claims::new(ledger, &services.dice, owner, dry_run), name: &name };
    let outcome = match old {
        None => allocation.create(spec).await,
        Some(old) => allocation.update(spec, old).await,
    };
    allocation.claims.finish(outcome).await
}

/// Gives back everything that a deleted Service had.
pub(super) async fn release(ledger: &Ledger, service: &Service) {
    let Some(spec) = &service.spec else { return };
    let items: HashSet<_> = used(spec).collect();
    if !items.is_empty() {
        give_back(ledger, &Owner::of(&service.metadata), &items).await;
    }
}

/// What a Service uses, as pool and item.
pub(super) fn used(spec: &ServiceSpec) -> impl Iterator<Item = (&'static str, String)> {
    let ips = if spec.needs_cluster_ip() { spec.cluster_ips() } else { &[] };
    let ips = ips.iter().filter_map(|ip| canonical(ip)).map(|ip| (CLUSTER_IPS, ip));
    let health_check = spec.needs_health_check().then(|| spec.health_check_node_port()).filter(|port| *port != 0);
    let ports = spec.node_ports().into_iter().chain(health_check);
    ips.chain(ports.map(|port| (NODE_PORTS, port.to_string())))
}

/// One write of one Service.
struct Allocation<'a> {
    services: &'a Services,
    claims: Claims<'a>,
    name: &'a str,
}

impl Allocation<'_> {
    async fn create(&mut self, spec: &mut ServiceSpec) -> Result<(), Status> {
        self.assign_addresses(spec).await?;
        if spec.needs_node_port() {
            self.assign_node_ports(spec).await?;
        }
        if spec.needs_health_check() {
            self.assign_health_check_port(spec).await?;
        }
        Ok(())
    }

    async fn update(&mut self, new: &mut ServiceSpec, old: &ServiceSpec) -> Result<(), Status> {
        self.change_addresses(new, old).await?;
        let kept = if new.needs_node_port() { self.change_node_ports(new, old).await? } else { Vec::new() };
        if old.needs_node_port() {
            for port in old.node_ports().into_iter().filter(|port| !kept.contains(port)) {
                self.claims.give_up(NODE_PORTS, port.to_string());
            }
        }
        match (old.needs_health_check(), new.needs_health_check()) {
            (false, true) => self.assign_health_check_port(new).await,
            (true, false) => {
                self.claims.give_up(NODE_PORTS, old.health_check_node_port().to_string());
                Ok(())
            }
            _ => Ok(()),
        }
    }

    /// One address for each family; those that the client asked for are claimed as they are.
    async fn assign_addresses(&mut self, spec: &mut ServiceSpec) -> Result<(), Status> {
        if !spec.needs_cluster_ip() || spec.cluster_ips().first().is_some_and(|ip| ip == NONE) {
            return Ok(());
        }
        let families = spec.families().to_vec();
        let mut ips = spec.cluster_ips().to_vec();
        ips.resize(families.len().max(ips.len()), String::new());
        for (i, family) in families.iter().enumerate() {
            ips[i] = self.address(family, i, &ips).await?;
        }
        spec.cluster_ip = ips.first().cloned();
        spec.cluster_ips = Some(ips);
        Ok(())
    }

    async fn change_addresses(&mut self, new: &mut ServiceSpec, old: &ServiceSpec) -> Result<(), Status> {
        if is_settled(new, old) {
            return Ok(());
        }
        if old.kind() == EXTERNAL_NAME && new.kind() != EXTERNAL_NAME {
            return self.assign_addresses(new).await;
        }
        if old.cluster_ips().first().is_some_and(|ip| ip == NONE) {
            return Ok(());
        }
        let mut given_up: &[String] = &[];
        if old.kind() != EXTERNAL_NAME && new.kind() == EXTERNAL_NAME {
            given_up = old.cluster_ips();
        } else if old.families().len() == 1 && new.families().len() == 2 {
            let mut ips = new.cluster_ips().to_vec();
            ips.resize(2, String::new());
            ips[1] = self.address(&new.families()[1], 1, &ips).await?;
            new.cluster_ips = Some(ips);
        } else if old.families().len() == 2 && new.families().len() == 1 {
            given_up = old.cluster_ips().get(1..).unwrap_or_default();
        }
        for ip in given_up.iter().filter_map(|ip| canonical(ip)) {
            self.claims.give_up(CLUSTER_IPS, ip);
        }
        Ok(())
    }

    /// Claims address `i` of those that are wanted, any if it is empty.
    async fn address(&mut self, family: &str, i: usize, wanted: &[String]) -> Result<String, Status> {
        let Some(pool) = self.services.config.addresses(family) else {
            return Err(Status::internal_error(format!("no range of service addresses for {family}")));
        };
        let ip = &wanted[i];
        if ip.is_empty() {
            let given = self.claims.claim_any(pool).await;
            return given
                .map_err(|refusal| Status::internal_error(format!("failed to allocate a serviceIP: {refusal}")));
        }
        match self.claims.claim(pool, ip).await {
            Ok(()) => Ok(ip.clone()),
            Err(refusal) => {
                let path = Path::new("spec").child("clusterIPs");
                let detail = format!("failed to allocate IP {ip}: {refusal}");
                Err(self.refused(&refusal, Error::invalid(&path, wanted, detail)))
            }
        }
    }

    /// Ports of the same number, such as 53 for TCP and for UDP, get the same node port.
    async fn assign_node_ports(&mut self, spec: &mut ServiceSpec) -> Result<(), Status> {
        let assigns = assigns_node_ports(spec);
        for i in 0..spec.ports().len() {
            let port = &spec.ports()[i];
            let wanted = node_port(port);
            if wanted == 0 && !assigns {
                continue;
            }
            let number = port.port;
            // Those before this one have their node port by now.
            let first_of = |ports: &[ServicePort]| {
                ports.iter().filter(|other| other.port == number).map(node_port).find(|port| *port != 0)
            };
            let assigned = match (first_of(&spec.ports()[..i]), first_of(spec.ports())) {
                (None, None) => self.any_node_port().await?,
                (None, Some(requested)) => self.requested_node_port(i, requested).await?,
                (Some(earlier), _) if wanted == 0 || wanted == earlier => earlier,
                _ => self.requested_node_port(i, wanted).await?,
            };
            set_node_port(spec, i, assigned);
        }
        Ok(())
    }

    /// Claims node ports that `old` has not; returns all that `new` has.
    async fn change_node_ports(&mut self, new: &mut ServiceSpec, old: &ServiceSpec) -> Result<Vec<i32>, Status> {
        let assigns = assigns_node_ports(new);
        let mut had = old.node_ports();
        for i in 0..new.ports().len() {
            let wanted = node_port(&new.ports()[i]);
            if wanted == 0 && assigns {
                let assigned = self.any_node_port().await?;
                set_node_port(new, i, assigned);
            } else if wanted != 0 && !had.contains(&wanted) {
                self.requested_node_port(i, wanted).await?;
                // Another port may have it for another protocol; validation refuses the rest.
                had.push(wanted);
            }
        }
        Ok(new.node_ports())
    }

    async fn requested_node_port(&mut self, i: usize, port: i32) -> Result<i32, Status> {
        match self.claims.claim(self.services.config.node_ports(), &port.to_string()).await {
            Ok(()) => Ok(port),
            Err(refusal) => {
                let path = Path::new("spec").child("ports").index(i).child("nodePort");
                Err(self.refused(&refusal, Error::invalid(&path, port, refusal.to_string())))
            }
        }
    }

    async fn any_node_port(&mut self) -> Result<i32, Status> {
        let given = self.claims.claim_any(self.services.config.node_ports()).await;
        port_number(given).map_err(|reason| Status::internal_error(format!("failed to allocate a nodePort: {reason}")))
    }

    async fn assign_health_check_port(&mut self, spec: &mut ServiceSpec) -> Result<(), Status> {
        let pool = self.services.config.node_ports();
        let wanted = spec.health_check_node_port();
        if wanted != 0 {
            let claimed = self.claims.claim(pool, &wanted.to_string()).await;
            return claimed.map_err(|refusal| {
                let what = format!("failed to allocate requested HealthCheck NodePort {wanted}: {refusal}");
                Status::internal_error(what)
            });
        }
        let given = port_number(self.claims.claim_any(pool).await);
        let port = given.map_err(|reason| {
            Status::internal_error(format!("failed to allocate a HealthCheck NodePort 0: {reason}"))
        })?;
        spec.health_check_node_port = Some(port);
        Ok(())
    }

    /// The client's fault, unless the ledger could not be asked.
    fn refused(&self, refusal: &Refusal, error: Error) -> Status {
        match refusal {
            Refusal::Ledger(error) => Status::internal_error(error),
            _ => invalid(self.name, &error.into()),
        }
    }
}

fn invalid(name: &str, errors: &ErrorList) -> Status {
    Status::invalid(&GroupKind::new("", "Service"), name, errors)
}

fn assigns_node_ports(spec: &ServiceSpec) -> bool {
    spec.kind() != LOAD_BALANCER || spec.allocate_load_balancer_node_ports.unwrap_or(true)
}

fn set_node_port(spec: &mut ServiceSpec, i: usize, number: i32) {
    if let Some(port) = spec.ports.as_mut().and_then(|ports| ports.get_mut(i)) {
        port.node_port = Some(number);
    }
}

fn port_number(given: Result<String, Refusal>) -> Result<i32, String> {
    let item = given.map_err(|refusal| refusal.to_string())?;
    item.parse().map_err(|_| format!("{item:?} is not a port"))
}

/// An address in the one form that the ledger knows it by; `None` for what is no address, such as `None`.
fn canonical(ip: &str) -> Option<String> {
    parse_ip_sloppy(ip).map(|ip| ip.to_string())
}
