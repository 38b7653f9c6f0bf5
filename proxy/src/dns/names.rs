//! The names of a cluster, as its Services, EndpointSlices and Namespaces give them. Pure.
//!
//! [`Names`] is told of each object as it comes, changes and goes, and is the same whatever the order in which it was told.
//! Its maps share structure, so that a copy costs nothing and a change costs what changed. Of an object it holds what
//! questions ask for, and no more.

use std::net::IpAddr;
use std::sync::Arc;

use hickory_proto::rr::Name;
use imbl::{HashMap, HashSet, OrdMap, OrdSet};
use k8s_openapi::api::core::v1::{Namespace, Service};
use k8s_openapi::api::discovery::v1::EndpointSlice;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;

/// The label by which an EndpointSlice names its Service.
const SERVICE_NAME: &str = "kubernetes.io/service-name";
/// The annotation that came before `publishNotReadyAddresses`; the specification still knows it.
const TOLERATE_UNREADY: &str = "service.alpha.kubernetes.io/tolerate-unready-endpoints";

/// What all names of a cluster end in, and who answers for them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Zone {
    /// The cluster's domain, such as `cluster.local.`
    pub name: Name,
    /// How long answers are good for, in seconds. The specification proposes 5; upstream's clusters have 30.
    pub ttl: u32,
    /// The addresses at which the cluster's DNS answers.
    pub addresses: Vec<IpAddr>,
}

impl Zone {
    /// The name that is `relative` (labels with dots between them) below the zone. `None` if it would be too long.
    pub(super) fn below(&self, relative: &str) -> Option<Name> {
        let mut name = Name::new();
        for label in relative.split('.') {
            name = name.append_label(label.as_bytes()).ok()?;
        }
        name.append_domain(&self.name).ok()
    }
}

/// A port of a Service or of a slice. Both have one without name or number if they state none.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Port {
    /// In lower case; empty if it has none.
    pub(super) name: Box<str>,
    /// In lower case.
    pub(super) protocol: &'static str,
    pub(super) number: Option<u16>,
}

impl Port {
    /// What stands for the ports of what has none.
    fn none() -> Port {
        Port { name: "".into(), protocol: "", number: None }
    }

    fn new(name: Option<&str>, protocol: Option<&str>, number: Option<i32>) -> Port {
        let protocol = match protocol {
            Some("UDP") => "udp",
            Some("SCTP") => "sctp",
            _ => "tcp",
        };
        let name = name.unwrap_or_default().to_ascii_lowercase().into();
        Port { name, protocol, number: number.and_then(|number| number.try_into().ok()) }
    }
}

/// What a Service answers with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Target {
    /// Its cluster IPs.
    Addresses(Box<[IpAddr]>),
    /// Its endpoints.
    Endpoints,
    /// Another name.
    Alias(Name),
    /// Nothing: its external name is an address, or no name.
    Nothing,
}

/// What is to be known of a Service.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct ServiceNames {
    pub(super) target: Target,
    pub(super) ports: Box<[Port]>,
    /// Whether endpoints are published that are not ready.
    pub(super) unready: bool,
}

/// An endpoint of a slice, at one of its addresses.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Endpoint {
    pub(super) address: IpAddr,
    /// Its name below the Service's, in lower case.
    pub(super) host: Box<str>,
    pub(super) ready: bool,
}

/// What is to be known of an EndpointSlice.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Slice {
    pub(super) endpoints: Box<[Endpoint]>,
    pub(super) ports: Box<[Port]>,
}

/// `name.namespace`. A namespace has no dot, so this names one object only.
type Place = Arc<str>;

/// The names of a cluster.
#[derive(Clone, Debug, PartialEq)]
pub struct Names {
    zone: Arc<Zone>,
    namespaces: HashSet<Arc<str>>,
    services: HashMap<Place, Arc<ServiceNames>>,
    /// The slices of a Service, by its place and then by theirs.
    slices: HashMap<Place, OrdMap<Place, Arc<Slice>>>,
    /// Of which Service a slice is.
    service_of: HashMap<Place, Place>,
    by_cluster_ip: HashMap<IpAddr, OrdSet<Place>>,
    /// Which slices of which Services have an endpoint at this address.
    by_endpoint: HashMap<IpAddr, OrdSet<(Place, Place)>>,
    complete: bool,
    serial: u32,
}

fn place_of(meta: &ObjectMeta) -> Place {
    place(meta.namespace.as_deref().unwrap_or_default(), meta.name.as_deref().unwrap_or_default())
}

fn place(namespace: &str, name: &str) -> Place {
    format!("{name}.{namespace}").into()
}

fn file<V: Ord + Clone>(index: &mut HashMap<IpAddr, OrdSet<V>>, address: IpAddr, value: V) {
    index.entry(address).or_default().insert(value);
}

fn unfile<V: Ord + Clone>(index: &mut HashMap<IpAddr, OrdSet<V>>, address: IpAddr, value: &V) {
    if let Some(values) = index.get_mut(&address) {
        values.remove(value);
        if values.is_empty() {
            index.remove(&address);
        }
    }
}

impl Names {
    /// The names of a cluster of which nothing is known yet.
    #[must_use]
    pub fn new(zone: Zone) -> Names {
        Names {
            zone: Arc::new(zone),
            namespaces: HashSet::new(),
            services: HashMap::new(),
            slices: HashMap::new(),
            service_of: HashMap::new(),
            by_cluster_ip: HashMap::new(),
            by_endpoint: HashMap::new(),
            complete: false,
            serial: 1,
        }
    }

    /// Notes that everything there is has been told: from now on, what is not known does not exist.
    pub fn set_complete(&mut self) {
        self.complete = true;
    }

    /// Sets the serial of the zone's SOA record: the time of the last change, as upstream has it.
    pub fn set_serial(&mut self, serial: u32) {
        self.serial = serial;
    }

    /// Takes in a namespace.
    pub fn put_namespace(&mut self, namespace: &Namespace) {
        if let Some(name) = &namespace.metadata.name {
            self.namespaces.insert(name.as_str().into());
        }
    }

    /// Forgets the namespace of this name.
    pub fn remove_namespace(&mut self, name: &str) {
        self.namespaces.remove(name);
    }

    /// Takes in a Service, new or changed.
    pub fn put_service(&mut self, service: &Service) {
        let place = place_of(&service.metadata);
        self.remove_service_at(&place);
        let service = ServiceNames::of(service);
        if let Target::Addresses(addresses) = &service.target {
            for address in addresses {
                file(&mut self.by_cluster_ip, *address, Arc::clone(&place));
            }
        }
        self.services.insert(place, Arc::new(service));
    }

    /// Forgets the Service of this name.
    pub fn remove_service(&mut self, namespace: &str, name: &str) {
        self.remove_service_at(&place(namespace, name));
    }

    fn remove_service_at(&mut self, place: &Place) {
        let Some(service) = self.services.remove(place) else { return };
        if let Target::Addresses(addresses) = &service.target {
            for address in addresses {
                unfile(&mut self.by_cluster_ip, *address, place);
            }
        }
    }

    /// Takes in an EndpointSlice, new or changed. One that names no Service, or whose endpoints are themselves names, has no
    /// part in the cluster's names.
    pub fn put_slice(&mut self, slice: &EndpointSlice) {
        let place = place_of(&slice.metadata);
        self.remove_slice_at(&place);
        let labels = slice.metadata.labels.as_ref();
        let Some(service) = labels.and_then(|labels| labels.get(SERVICE_NAME)).filter(|name| !name.is_empty()) else {
            return;
        };
        let service = self::place(slice.metadata.namespace.as_deref().unwrap_or_default(), service);
        let slice = Slice::of(slice);
        for endpoint in &slice.endpoints {
            file(&mut self.by_endpoint, endpoint.address, (Arc::clone(&service), Arc::clone(&place)));
        }
        self.slices.entry(Arc::clone(&service)).or_default().insert(Arc::clone(&place), Arc::new(slice));
        self.service_of.insert(place, service);
    }

    /// Forgets the EndpointSlice of this name.
    pub fn remove_slice(&mut self, namespace: &str, name: &str) {
        self.remove_slice_at(&place(namespace, name));
    }

    fn remove_slice_at(&mut self, place: &Place) {
        let Some(service) = self.service_of.remove(place) else { return };
        let Some(slices) = self.slices.get_mut(&service) else { return };
        let slice = slices.remove(place);
        if slices.is_empty() {
            self.slices.remove(&service);
        }
        let filed = (service, Arc::clone(place));
        for endpoint in slice.iter().flat_map(|slice| &slice.endpoints) {
            unfile(&mut self.by_endpoint, endpoint.address, &filed);
        }
    }

    /// What the names end in.
    #[must_use]
    pub fn zone(&self) -> &Zone {
        &self.zone
    }

    /// How many Services and EndpointSlices there are.
    #[must_use]
    pub fn counts(&self) -> (usize, usize) {
        (self.services.len(), self.service_of.len())
    }

    pub(super) fn is_complete(&self) -> bool {
        self.complete
    }

    pub(super) fn serial(&self) -> u32 {
        self.serial
    }

    pub(super) fn has_namespace(&self, name: &str) -> bool {
        self.namespaces.contains(name)
    }

    /// The Service at `name.namespace`.
    pub(super) fn service(&self, place: &str) -> Option<&ServiceNames> {
        self.services.get(place).map(|service| &**service)
    }

    /// The slices of the Service at `name.namespace`, in the order of their names.
    pub(super) fn slices(&self, place: &str) -> impl Iterator<Item = &Slice> {
        self.slices.get(place).into_iter().flat_map(|slices| slices.values().map(|slice| &**slice))
    }

    /// The first Service, in the order of names, that has this cluster IP, as `name.namespace`.
    pub(super) fn with_cluster_ip(&self, address: IpAddr) -> Option<&str> {
        self.by_cluster_ip.get(&address)?.get_min().map(|place| &**place)
    }

    /// What endpoints at this address are called: their host and their Service, as `name.namespace`.
    pub(super) fn endpoints_at(&self, address: IpAddr) -> impl Iterator<Item = (&str, &str)> {
        let filed = self.by_endpoint.get(&address).into_iter().flatten();
        filed.flat_map(move |(service, slice)| self.published_at(address, service, slice))
    }

    fn published_at<'a>(
        &'a self,
        address: IpAddr,
        place: &'a Place,
        slice: &'a Place,
    ) -> impl Iterator<Item = (&'a str, &'a str)> {
        let service = self.service(place).filter(|service| !service.is_alias());
        let slice = service.and_then(|_| self.slices.get(place)?.get(slice));
        let unready = service.is_some_and(|service| service.unready);
        let endpoints = slice.into_iter().flat_map(|slice| &slice.endpoints);
        let published = endpoints.filter(move |endpoint| endpoint.address == address && (endpoint.ready || unready));
        published.map(|endpoint| (&*endpoint.host, &**place))
    }
}

impl ServiceNames {
    fn of(service: &Service) -> ServiceNames {
        let spec = service.spec.as_ref();
        let annotations = service.metadata.annotations.as_ref();
        let tolerates = annotations.and_then(|known| known.get(TOLERATE_UNREADY)).is_some_and(|value| value == "true");
        let ports = spec.and_then(|spec| spec.ports.as_deref()).unwrap_or_default();
        let ports = ports.iter().map(|port| Port::new(port.name.as_deref(), port.protocol.as_deref(), Some(port.port)));
        let mut ports: Vec<Port> = ports.collect();
        if ports.is_empty() {
            ports.push(Port::none());
        }
        ServiceNames {
            target: Target::of(service),
            ports: ports.into(),
            unready: tolerates || spec.and_then(|spec| spec.publish_not_ready_addresses) == Some(true),
        }
    }

    pub(super) fn is_alias(&self) -> bool {
        matches!(self.target, Target::Alias(_) | Target::Nothing)
    }
}

impl Target {
    fn of(service: &Service) -> Target {
        let Some(spec) = &service.spec else { return Target::Addresses(Box::default()) };
        if spec.type_.as_deref() == Some("ExternalName") {
            let name = spec.external_name.as_deref().unwrap_or_default();
            return match external(name) {
                Some(name) => Target::Alias(name),
                None => Target::Nothing,
            };
        }
        let listed = spec.cluster_ips.as_deref().filter(|addresses| !addresses.is_empty());
        let addresses = listed.unwrap_or(spec.cluster_ip.as_slice());
        if addresses.first().is_some_and(|address| address == "None") {
            return Target::Endpoints;
        }
        Target::Addresses(addresses.iter().filter_map(|address| address.parse().ok()).collect())
    }
}

/// An external name as a name. An address is none.
fn external(text: &str) -> Option<Name> {
    if text.is_empty() || text.parse::<IpAddr>().is_ok() {
        return None;
    }
    let mut name = Name::from_ascii(text).ok()?;
    name.set_fqdn(true);
    Some(name)
}

impl Slice {
    fn of(slice: &EndpointSlice) -> Slice {
        let ports = slice.ports.as_deref().unwrap_or_default();
        let ports = ports.iter().map(|port| Port::new(port.name.as_deref(), port.protocol.as_deref(), port.port));
        let mut ports: Vec<Port> = ports.collect();
        if ports.is_empty() {
            ports.push(Port::none());
        }
        let endpoints = slice.endpoints.iter().flatten().flat_map(|endpoint| {
            let ready = endpoint.conditions.as_ref().and_then(|conditions| conditions.ready).unwrap_or(true);
            let hostname = endpoint.hostname.as_deref().filter(|name| !name.is_empty());
            endpoint.addresses.iter().filter_map(move |text| {
                let host = hostname.map_or_else(|| text.replace(['.', ':'], "-"), str::to_owned);
                let host = host.to_ascii_lowercase().into();
                Some(Endpoint { address: text.parse().ok()?, host, ready })
            })
        });
        Slice { endpoints: endpoints.collect(), ports: ports.into() }
    }
}
