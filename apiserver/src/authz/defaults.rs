//! Who may do what in a new cluster: the documented effect of upstream's default roles, row by row.
//!
//! A line of the table is `who where verbs what: answer`. `where` is a namespace, or `-` for the scope of the cluster; `what`
//! is resources as `resource.group/subresource=name`, or paths. Every verb with everything that is named is one row.

use serde_json::{Value, json};

use super::*;
use crate::authn::{AUTHENTICATED, UNAUTHENTICATED};
use crate::engine::born_roles;

const TABLE: &str = "
masters      -           get,create,delete,escalate  pods,secrets,nodes,clusterroles.rbac.authorization.k8s.io,anything.acme.com/x: yes
masters      a           delete,bind,impersonate     pods,secrets,roles.rbac.authorization.k8s.io,users: yes
masters      -           get,post                    /metrics,/api,/anything: yes
root         -           get,create,delete,escalate  pods,secrets,nodes,clusterroles.rbac.authorization.k8s.io,anything.acme.com/x: yes
root         -           get,post                    /metrics,/api,/anything: yes

admin        a           get,list,watch,create,delete  pods,services,secrets,configmaps,deployments.apps,jobs.batch: yes
admin        a           create,update,delete,list   roles.rbac.authorization.k8s.io,rolebindings.rbac.authorization.k8s.io: yes
admin        a           create                      localsubjectaccessreviews.authorization.k8s.io,pods/exec,serviceaccounts/token: yes
admin        a           escalate,bind               roles.rbac.authorization.k8s.io: no
admin        a           create,update,delete        resourcequotas,limitranges: no
admin        a           update,delete               namespaces: no
admin        a           create,update               endpoints,endpointslices.discovery.k8s.io: no
admin        b           get,list,create,delete      pods,secrets,roles.rbac.authorization.k8s.io: no
admin        -           get,list                    pods,secrets,nodes,persistentvolumes,clusterroles.rbac.authorization.k8s.io: no
admin        -           create                      tokenreviews.authentication.k8s.io,subjectaccessreviews.authorization.k8s.io: no

edit         a           create,update,patch,delete,deletecollection  pods,services,configmaps,secrets,serviceaccounts,persistentvolumeclaims: yes
edit         a           create,update,patch,delete  deployments.apps,statefulsets.apps,daemonsets.apps,replicasets.apps,jobs.batch,cronjobs.batch: yes
edit         a           create,delete               ingresses.networking.k8s.io,networkpolicies.networking.k8s.io,poddisruptionbudgets.policy: yes
edit         a           update,patch                deployments.apps/scale,statefulsets.apps/scale,replicationcontrollers/scale: yes
edit         a           get,list,watch              secrets,pods,leases.coordination.k8s.io,resourceclaims.resource.k8s.io: yes
edit         a           create,get                  pods/exec,pods/attach,pods/portforward,pods/proxy,services/proxy: yes
edit         a           create                      pods/eviction,serviceaccounts/token: yes
edit         a           get                         pods/log,pods/status: yes
edit         a           impersonate                 serviceaccounts: yes
edit         a           impersonate                 users,groups: no
edit         a           get,list,create,update      roles.rbac.authorization.k8s.io,rolebindings.rbac.authorization.k8s.io: no
edit         a           create,update,delete        resourcequotas,limitranges,endpoints: no
edit         a           create,patch                pods/binding,pods/ephemeralcontainers,bindings: no
edit         a           update,patch                pods/status,deployments.apps/status,services/status: no
edit         b           get,list,create             pods,secrets: no
edit         -           get,list,create             pods,secrets,nodes,namespaces: no

view         a           get,list,watch              pods,services,configmaps,endpoints,serviceaccounts,persistentvolumeclaims,events: yes
view         a           get,list,watch              deployments.apps,replicasets.apps,statefulsets.apps,daemonsets.apps,jobs.batch,cronjobs.batch: yes
view         a           get,list,watch              ingresses.networking.k8s.io,networkpolicies.networking.k8s.io,horizontalpodautoscalers.autoscaling: yes
view         a           get,list                    endpointslices.discovery.k8s.io,poddisruptionbudgets.policy,resourcequotas,limitranges,namespaces: yes
view         a           get                         pods/log,pods/status,deployments.apps/scale,replicationcontrollers/scale: yes
view         a           get,list,watch              secrets,roles.rbac.authorization.k8s.io,rolebindings.rbac.authorization.k8s.io: no
view         a           create,update,patch,delete,deletecollection  pods,configmaps,services,deployments.apps: no
view         a           get,create                  pods/exec,pods/attach,pods/portforward,pods/proxy,services/proxy: no
view         a           create                      serviceaccounts/token,pods/eviction: no
view         a           impersonate                 serviceaccounts: no
view         a           get,list                    leases.coordination.k8s.io: no
view         b           get,list,watch              pods,services,configmaps: no
view         -           get,list,watch              pods,nodes,persistentvolumes,namespaces: no

known        -           create                      selfsubjectaccessreviews.authorization.k8s.io,selfsubjectrulesreviews.authorization.k8s.io: yes
known        -           create                      selfsubjectreviews.authentication.k8s.io: yes
known        -           get                         /api,/api/v1,/apis,/apis/apps/v1,/healthz,/livez,/readyz,/openapi/v2,/openapi/v3/api/v1,/version,/version/: yes
known        -           get                         /metrics,/healthz/etcd,/logs,/debug/pprof,/openid/v1/jwks,/.well-known/openid-configuration: no
known        -           post,put,delete             /api,/healthz,/version: no
known        a           get,list,watch,create       pods,secrets,configmaps,namespaces: no
known        -           get,list                    nodes,namespaces,clusterroles.rbac.authorization.k8s.io: no
known        -           create                      subjectaccessreviews.authorization.k8s.io,tokenreviews.authentication.k8s.io: no
known        -           impersonate                 users,groups,serviceaccounts: no
known        kube-public get                         configmaps=cluster-info: no
known        kube-system get                         configmaps=extension-apiserver-authentication: no

anonymous    -           get                         /healthz,/livez,/readyz,/version,/version/: yes
anonymous    -           get                         /api,/apis,/openapi/v2,/metrics,/healthz/ping,/livez/ping,/openid/v1/jwks,/: no
anonymous    -           post,delete                 /healthz,/version: no
anonymous    -           create                      selfsubjectaccessreviews.authorization.k8s.io,selfsubjectreviews.authentication.k8s.io: no
anonymous    a           get,list,create             pods,secrets,configmaps: no
anonymous    kube-public get                         configmaps=cluster-info: yes
anonymous    kube-public get,list,update             configmaps=other,configmaps: no
anonymous    kube-public update,delete               configmaps=cluster-info: no
anonymous    a           get                         configmaps=cluster-info: no

scheduler    -           get,list,watch              pods,nodes,namespaces,services,persistentvolumes,replicasets.apps,statefulsets.apps,csinodes.storage.k8s.io: yes
scheduler    a           create                      pods/binding,bindings: yes
scheduler    a           delete                      pods: yes
scheduler    a           patch,update                pods/status,pods/finalizers,resourceclaims.resource.k8s.io/status: yes
scheduler    a           create,patch,update         events,events.events.k8s.io: yes
scheduler    -           patch,update                persistentvolumes,persistentvolumeclaims: yes
scheduler    kube-system create                      leases.coordination.k8s.io: yes
scheduler    kube-system get,update                  leases.coordination.k8s.io=kube-scheduler: yes
scheduler    kube-system get,update                  leases.coordination.k8s.io=kube-controller-manager: no
scheduler    kube-system get                         configmaps=extension-apiserver-authentication,configmaps=kube-scheduler: yes
scheduler    -           create                      tokenreviews.authentication.k8s.io,subjectaccessreviews.authorization.k8s.io: yes
scheduler    a           get,list                    secrets,configmaps: no
scheduler    a           create,update,patch         pods: no
scheduler    a           create                      pods/exec,pods/eviction,serviceaccounts/token: no
scheduler    -           update,patch,delete         nodes,namespaces: no
scheduler    -           get,list                    clusterroles.rbac.authorization.k8s.io: no

controllers  -           list,watch                  pods,secrets,nodes,clusterroles.rbac.authorization.k8s.io,anything.acme.com: yes
controllers  a           create                      pods,secrets,serviceaccounts,serviceaccounts/token,replicasets.apps,jobs.batch,endpoints: yes
controllers  a           update                      deployments.apps/status,jobs.batch/status,replicasets.apps/scale: yes
controllers  -           update,patch,escalate       clusterroles.rbac.authorization.k8s.io: yes
controllers  -           approve                     signers.certificates.k8s.io=kubernetes.io/kube-apiserver-client-kubelet: yes
controllers  -           approve                     signers.certificates.k8s.io=kubernetes.io/kube-apiserver-client: no
controllers  kube-system get,update                  leases.coordination.k8s.io=kube-controller-manager: yes
controllers  a           create,bind                 rolebindings.rbac.authorization.k8s.io,roles.rbac.authorization.k8s.io: no
controllers  -           create,bind                 clusterrolebindings.rbac.authorization.k8s.io,clusterroles.rbac.authorization.k8s.io: no
controllers  a           create                      pods/exec,pods/attach,pods/portforward,pods/eviction: no
controllers  -           impersonate                 users,groups,serviceaccounts: no

proxy        -           list,watch                  services,endpoints,endpointslices.discovery.k8s.io,servicecidrs.networking.k8s.io: yes
proxy        -           get,list,watch              nodes: yes
proxy        a           create,patch                events,events.events.k8s.io: yes
proxy        -           get,list                    pods,secrets,configmaps: no
proxy        -           update,patch                nodes,services,endpointslices.discovery.k8s.io,nodes/status: no

joiner       -           create,get,list,watch       certificatesigningrequests.certificates.k8s.io: yes
joiner       -           create                      certificatesigningrequests.certificates.k8s.io/nodeclient: yes
joiner       -           get                         nodes: yes
joiner       -           create                      certificatesigningrequests.certificates.k8s.io/selfnodeclient: no
joiner       -           list,create,update          nodes,nodes/status: no
joiner       -           update                      certificatesigningrequests.certificates.k8s.io/approval: no
joiner       -           approve                     signers.certificates.k8s.io=kubernetes.io/kube-apiserver-client-kubelet: no
joiner       kube-system get,list                    secrets,configmaps,pods: no
bootstrapper -           create,get                  certificatesigningrequests.certificates.k8s.io,nodes: no

node         -           create                      certificatesigningrequests.certificates.k8s.io/selfnodeclient: yes
node         -           create                      certificatesigningrequests.certificates.k8s.io/nodeclient: no
node         a           create,update,delete        secrets,configmaps,serviceaccounts,roles.rbac.authorization.k8s.io: no
node         -           update,delete               namespaces,clusterroles.rbac.authorization.k8s.io: no
node         -           approve,sign                signers.certificates.k8s.io=kubernetes.io/kube-apiserver-client-kubelet: no

robot        -           get                         /openid/v1/jwks,/.well-known/openid-configuration,/api,/version: yes
robot        a           get,list,create             pods,secrets,configmaps,serviceaccounts: no
robot        a           create                      serviceaccounts/token=robot: no
robot        -           get                         /metrics,/logs: no

monitor      -           get                         /metrics,/metrics/slis,/healthz,/healthz/etcd,/livez,/livez/ping,/readyz,/readyz/shutdown: yes
monitor      -           get                         /logs,/debug/pprof,/metrics/other: no
monitor      -           post                        /metrics: no
monitor      -           get,list                    nodes,pods,nodes/metrics,nodes/proxy: no

kubelet-api  -           get,create                  nodes/proxy,nodes/log,nodes/stats,nodes/metrics,nodes/configz,nodes/healthz,nodes/pods: yes
kubelet-api  -           update,delete               nodes: no
kubelet-api  a           get                         secrets,pods: no

sa:attachdetach-controller              -  create,delete  volumeattachments.storage.k8s.io: yes
sa:attachdetach-controller              -  get            secrets: no
sa:clusterrole-aggregation-controller   -  escalate,update  clusterroles.rbac.authorization.k8s.io: yes
sa:clusterrole-aggregation-controller   -  bind,create    clusterrolebindings.rbac.authorization.k8s.io,clusterroles.rbac.authorization.k8s.io: no
sa:cronjob-controller                   a  create,delete  jobs.batch: yes
sa:cronjob-controller                   a  create         pods: no
sa:daemon-set-controller                a  create,delete  pods,controllerrevisions.apps: yes
sa:daemon-set-controller                a  update         nodes,daemonsets.apps: no
sa:deployment-controller                a  create,delete  replicasets.apps: yes
sa:deployment-controller                a  create,delete  pods,deployments.apps: no
sa:disruption-controller                a  update         poddisruptionbudgets.policy/status: yes
sa:disruption-controller                a  get            deployments.apps/scale,anything.acme.com/scale: yes
sa:disruption-controller                a  update         poddisruptionbudgets.policy,deployments.apps/scale: no
sa:endpoint-controller                  a  create,update,delete  endpoints: yes
sa:endpoint-controller                  a  create         endpointslices.discovery.k8s.io,services: no
sa:endpointslice-controller             a  create,update,delete  endpointslices.discovery.k8s.io: yes
sa:endpointslice-controller             a  create         endpoints,pods: no
sa:endpointslicemirroring-controller    a  create,update  endpointslices.discovery.k8s.io: yes
sa:endpointslicemirroring-controller    a  update         endpoints: no
sa:expand-controller                    -  update,patch   persistentvolumes,persistentvolumeclaims/status: yes
sa:expand-controller                    a  update         persistentvolumeclaims: no
sa:ephemeral-volume-controller          a  create         persistentvolumeclaims: yes
sa:ephemeral-volume-controller          a  delete         persistentvolumeclaims,pods: no
sa:resource-claim-controller            a  create,delete  resourceclaims.resource.k8s.io: yes
sa:resource-claim-controller            a  create,delete  pods,resourceclaimtemplates.resource.k8s.io: no
sa:device-taint-eviction-controller     a  delete         pods: yes
sa:device-taint-eviction-controller     a  create         pods: no
sa:generic-garbage-collector            a  get,list,patch,update,delete  pods,secrets,anything.acme.com: yes
sa:generic-garbage-collector            a  create,deletecollection  pods,secrets: no
sa:horizontal-pod-autoscaler            a  get,update     deployments.apps/scale,anything.acme.com/scale: yes
sa:horizontal-pod-autoscaler            a  update         deployments.apps: no
sa:job-controller                       a  create,delete  pods: yes
sa:job-controller                       a  create,delete  jobs.batch: no
sa:namespace-controller                 a  list,delete,deletecollection  pods,secrets,anything.acme.com: yes
sa:namespace-controller                 -  update         namespaces/finalize,namespaces/status: yes
sa:namespace-controller                 a  create,update  pods,secrets: no
sa:node-controller                      -  patch,update   nodes,nodes/status: yes
sa:node-controller                      a  delete         pods: yes
sa:node-controller                      a  create,get     secrets: no
sa:persistent-volume-binder             -  create,delete,update  persistentvolumes: yes
sa:persistent-volume-binder             a  create,delete  persistentvolumeclaims: no
sa:pod-garbage-collector                a  delete         pods: yes
sa:pod-garbage-collector                a  create,get     pods: no
sa:replicaset-controller                a  create,delete  pods: yes
sa:replicaset-controller                a  create,delete  replicasets.apps: no
sa:replication-controller               a  create,delete  pods: yes
sa:replication-controller               a  create,delete  replicationcontrollers: no
sa:resourcequota-controller             a  update         resourcequotas/status: yes
sa:resourcequota-controller             a  list           pods,secrets,anything.acme.com: yes
sa:resourcequota-controller             a  update,get     resourcequotas,secrets: no
sa:route-controller                     -  patch          nodes/status: yes
sa:route-controller                     -  patch          nodes: no
sa:service-account-controller           a  create         serviceaccounts: yes
sa:service-account-controller           a  create         secrets,serviceaccounts/token: no
sa:service-controller                   a  update,patch   services/status: yes
sa:service-controller                   a  update         services: no
sa:service-cidrs-controller             -  update,patch   servicecidrs.networking.k8s.io: yes
sa:service-cidrs-controller             -  delete,update  ipaddresses.networking.k8s.io: no
sa:statefulset-controller               a  create,update,delete  pods: yes
sa:statefulset-controller               a  create,delete  persistentvolumeclaims: yes
sa:statefulset-controller               a  create,update  statefulsets.apps,secrets: no
sa:taint-eviction-controller            a  delete         pods: yes
sa:taint-eviction-controller            a  update,delete  nodes: no
sa:ttl-controller                       -  update,patch   nodes: yes
sa:ttl-controller                       -  get,delete     nodes,pods: no
sa:certificate-controller               -  update         certificatesigningrequests.certificates.k8s.io/approval,certificatesigningrequests.certificates.k8s.io/status: yes
sa:certificate-controller               -  sign           signers.certificates.k8s.io=kubernetes.io/legacy-unknown,signers.certificates.k8s.io=kubernetes.io/kubelet-serving: yes
sa:certificate-controller               -  approve        signers.certificates.k8s.io=kubernetes.io/kubelet-serving,signers.certificates.k8s.io=acme.com/x: no
sa:pvc-protection-controller            a  update         persistentvolumeclaims: yes
sa:pvc-protection-controller            a  delete         persistentvolumeclaims,pods: no
sa:pv-protection-controller             -  update         persistentvolumes: yes
sa:pv-protection-controller             -  delete         persistentvolumes: no
sa:volumeattributesclass-protection-controller  -  update  volumeattributesclasses.storage.k8s.io: yes
sa:volumeattributesclass-protection-controller  -  delete  volumeattributesclasses.storage.k8s.io: no
sa:ttl-after-finished-controller        a  delete         jobs.batch: yes
sa:ttl-after-finished-controller        a  create,delete  pods: no
sa:root-ca-cert-publisher               a  create,update  configmaps: yes
sa:root-ca-cert-publisher               a  get,delete     configmaps,secrets: no
sa:validatingadmissionpolicy-status-controller  -  update  validatingadmissionpolicies.admissionregistration.k8s.io/status: yes
sa:validatingadmissionpolicy-status-controller  -  update  validatingadmissionpolicies.admissionregistration.k8s.io: no
sa:legacy-service-account-token-cleaner kube-system  get  configmaps=kube-apiserver-legacy-service-account-token-tracking: yes
sa:legacy-service-account-token-cleaner a  get,list       secrets: no
sa:selinux-warning-controller           a  list,watch     pods,persistentvolumeclaims: yes
sa:selinux-warning-controller           a  update,delete  pods: no
sa:podcertificaterequestcleaner-controller  a  delete     podcertificaterequests.certificates.k8s.io: yes
sa:podcertificaterequestcleaner-controller  a  create     podcertificaterequests.certificates.k8s.io: no
sa:storage-version-migrator-controller  a  get,list,patch pods,secrets: yes
sa:storage-version-migrator-controller  a  create,delete  pods,secrets: no
sa:bootstrap-signer            kube-public update         configmaps=cluster-info: yes
sa:bootstrap-signer            kube-public update         configmaps=other: no
sa:bootstrap-signer            kube-system get,list       secrets: yes
sa:bootstrap-signer            a           get,list       secrets: no
sa:token-cleaner               kube-system get,delete     secrets: yes
sa:token-cleaner               a           delete         secrets: no
sa:cloud-provider              kube-system create,get     configmaps: yes
sa:cloud-provider              a           create,get     configmaps: no
sa:kube-dns                             -  list,watch     services,endpoints: yes
sa:kube-dns                             -  get,list       pods,secrets: no
";

fn who(name: &str) -> Identity {
    let (user, groups): (String, Vec<&str>) = match name {
        "masters" => ("x".to_owned(), vec![MASTERS, AUTHENTICATED]),
        "anonymous" => ("system:anonymous".to_owned(), vec![UNAUTHENTICATED]),
        "scheduler" => (SCHEDULER.to_owned(), vec![AUTHENTICATED]),
        "controllers" => (CONTROLLER_MANAGER.to_owned(), vec![AUTHENTICATED]),
        "proxy" => (PROXY.to_owned(), vec![AUTHENTICATED]),
        "joiner" => (
            "system:bootstrap:abcdef".to_owned(),
            vec!["system:bootstrappers", "system:bootstrappers:kubeadm:default-node-token", AUTHENTICATED],
        ),
        "bootstrapper" => ("system:bootstrap:abcdef".to_owned(), vec!["system:bootstrappers", AUTHENTICATED]),
        "node" => ("system:node:n".to_owned(), vec![NODES, AUTHENTICATED]),
        "monitor" => ("m".to_owned(), vec!["system:monitoring", AUTHENTICATED]),
        "kubelet-api" => ("kube-apiserver-kubelet-client".to_owned(), vec![AUTHENTICATED]),
        "robot" => (
            "system:serviceaccount:a:robot".to_owned(),
            vec!["system:serviceaccounts", "system:serviceaccounts:a", AUTHENTICATED],
        ),
        other => match other.strip_prefix("sa:") {
            Some(account) => (
                format!("system:serviceaccount:kube-system:{account}"),
                vec!["system:serviceaccounts", "system:serviceaccounts:kube-system", AUTHENTICATED],
            ),
            None => (other.to_owned(), vec![AUTHENTICATED]),
        },
    };
    Identity { user, groups: groups.into_iter().map(str::to_owned).collect(), ..Identity::default() }
}

fn asked(verb: &str, place: &str, what: &str) -> Attributes {
    let verb = verb.to_owned();
    if what.starts_with('/') {
        return Attributes { verb, path: what.to_owned(), ..Attributes::default() };
    }
    let (what, name) = what.split_once('=').unwrap_or((what, ""));
    let (what, subresource) = what.split_once('/').unwrap_or((what, ""));
    let (resource, group) = what.split_once('.').unwrap_or((what, ""));
    let namespace = if place == "-" { "" } else { place };
    Attributes {
        verb,
        group: group.to_owned(),
        version: "v1".to_owned(),
        resource: resource.to_owned(),
        subresource: subresource.to_owned(),
        namespace: namespace.to_owned(),
        name: name.to_owned(),
        ..Attributes::default()
    }
}

/// A new cluster once its controllers have gathered the rules of `admin`, `edit` and `view`, with a user bound to each of these
/// in the namespace `a`, and `root` to `cluster-admin` everywhere.
fn cluster() -> Chain {
    let mut objects = born_roles();
    // A role that gathers from one that gathers itself has everything after as many rounds as there are levels.
    for _ in 0..3 {
        let known = objects.clone();
        for role in &mut objects {
            let selectors = role["aggregationRule"]["clusterRoleSelectors"].as_array().cloned().unwrap_or_default();
            if selectors.is_empty() {
                continue;
            }
            let has = |from: &Value, selector: &Value| {
                let wanted = selector["matchLabels"].as_object().unwrap();
                from["kind"] == "ClusterRole"
                    && wanted.iter().all(|(key, value)| from["metadata"]["labels"].get(key) == Some(value))
            };
            let gathered = known.iter().filter(|from| selectors.iter().any(|selector| has(from, selector)));
            let rules = gathered.flat_map(|from| from["rules"].as_array().cloned().unwrap_or_default());
            role["rules"] = rules.collect();
        }
    }
    let binding = |kind: &str, user: &str, role: &str| {
        json!({
            "kind": kind,
            "metadata": {"name": user, "namespace": if kind == "RoleBinding" { "a" } else { "" }},
            "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": role},
            "subjects": [{"kind": "User", "name": user}],
        })
    };
    objects.extend(["admin", "edit", "view"].map(|role| binding("RoleBinding", role, role)));
    objects.push(binding("ClusterRoleBinding", "root", "cluster-admin"));
    Chain::of_cluster(NodeAuthorizer::default(), Rbac::of(objects))
}

#[test]
fn everybody_may_do_what_upstream_documents() {
    let cluster = cluster();
    let (mut rows, mut wrong) = (0, Vec::new());
    for line in TABLE.lines().filter(|line| !line.is_empty()) {
        let (asks, expected) = line.rsplit_once(": ").unwrap();
        let words: Vec<&str> = asks.split_whitespace().collect();
        let [name, place, verbs, whats] = words[..] else { panic!("{line}") };
        let identity = who(name);
        for what in whats.split(',') {
            for verb in verbs.split(',') {
                rows += 1;
                let allowed = matches!(cluster.authorize(&identity, &asked(verb, place, what)), Decision::Allow(_));
                if allowed != (expected == "yes") {
                    wrong.push(format!("{name} {place} {verb} {what}: expected {expected}"));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{} of {rows}:\n{}", wrong.len(), wrong.join("\n"));
}

/// No controller that has a role is without a row of what it may, and one of what it may not.
#[test]
fn every_controller_is_in_the_table() {
    for role in born_roles().iter().filter(|role| role["kind"] == "ClusterRole") {
        let name = role["metadata"]["name"].as_str().unwrap();
        let Some(account) = name.strip_prefix("system:controller:") else { continue };
        let start = format!("sa:{account} ");
        for end in [": yes", ": no"] {
            let found = TABLE.lines().any(|line| line.starts_with(&start) && line.ends_with(end));
            assert!(found, "{account} has no row that ends with {end:?}");
        }
    }
}
