//! What lines make, as kubectl writes it.

use clap::Parser;

use super::*;
use crate::output::Format;

#[derive(Debug, Parser)]
struct Line {
    #[command(subcommand)]
    kind: Kind,
}

fn make(line: &str) -> Result<Made, Error> {
    let words = std::iter::once("create").chain(line.split(' '));
    let mut bits = || 7;
    match Line::try_parse_from(words).map_err(|error| Error::said(error.to_string()))?.kind {
        Kind::ClusterRoleBinding(making) => making.of.make(),
        Kind::ConfigMap(making) => making.of.make(),
        Kind::CronJob(making) => Ok(making.of.make()),
        Kind::Deployment(making) => making.of.make(&mut bits),
        Kind::Ingress(making) => making.of.make(),
        Kind::Namespace(making) => Ok(making.of.make()),
        Kind::PodDisruptionBudget(making) => making.of.make(),
        Kind::PriorityClass(making) => making.of.make(),
        Kind::Quota(making) => making.of.make(),
        Kind::RoleBinding(making) => making.of.make(),
        Kind::Secret(secret) => secret.make().map(|(made, _)| made),
        Kind::Service(service) => service.make().map(|(made, _)| made),
        Kind::ServiceAccount(making) => Ok(making.of.make()),
        other => panic!("{other:?} asks the server"),
    }
}

fn yaml(line: &str) -> String {
    Format::Yaml.show(&make(line).unwrap().object, &|_| String::new()).unwrap()
}

fn error(line: &str) -> String {
    make(line).unwrap_err().to_string()
}

#[test]
fn deployments_have_a_container_an_image() {
    let expected = "apiVersion: apps/v1\nkind: Deployment\nmetadata:\n  labels:\n    app: d\n  name: d\nspec:\n  \
                    replicas: 3\n  selector:\n    matchLabels:\n      app: d\n  strategy: {}\n  template:\n    \
                    metadata:\n      labels:\n        app: d\n    spec:\n      containers:\n      - image: a/b:1\n        \
                    name: b\n        ports:\n        - containerPort: 80\n        resources: {}\n      - image: c\n        \
                    name: c\n        resources: {}\nstatus: {}\n";
    assert_eq!(yaml("deployment d --image=a/b:1,c --port=80 -r 3"), expected);
    let made = make("deploy d --image=r.io/a_b:1@sha256:0 -- sleep 1").unwrap().object;
    let container = &made["spec"]["template"]["spec"]["containers"][0];
    let name = container["name"].as_str().unwrap();
    assert!(name.starts_with("a-b-") && name.len() == 9, "{name}");
    assert_eq!(container["command"], json!(["sleep", "1"]));
    assert_eq!(
        error("deployment d --image=a --image=b -- x"),
        "error: cannot specify multiple --image options and command"
    );
}

#[test]
fn services_select_what_has_their_name() {
    let expected = "apiVersion: v1\nkind: Service\nmetadata:\n  labels:\n    app: s\n  name: s\nspec:\n  ports:\n  - name: \
                    80-http\n    nodePort: 30000\n    port: 80\n    protocol: TCP\n    targetPort: http\n  selector:\n    \
                    app: s\n  type: NodePort\nstatus:\n  loadBalancer: {}\n";
    assert_eq!(yaml("service nodeport s --tcp=80:http --node-port=30000"), expected);
    assert!(yaml("service clusterip s --clusterip=None").contains("clusterIP: None"));
    assert_eq!(error("service clusterip s"), "error: at least one tcp port specifier must be provided");
    assert!(error("service clusterip s --tcp=70000").contains("invalid port specifier \"70000\""));
    assert!(error("service clusterip s --tcp=1:70000").contains("invalid port specifier \"1:70000\""));
}

#[test]
fn ingresses_have_the_rules_of_a_host_together() {
    let made = make("ing i --rule=a.b/=s:80 --rule=a.b/x*=s:http,tls=t --rule=/y=s:1,tls").unwrap().object;
    let rules = made["spec"]["rules"].as_array().unwrap();
    assert_eq!(rules.len(), 2);
    assert_eq!(rules[0]["http"]["paths"][1]["path"], "/x");
    assert_eq!(rules[0]["http"]["paths"][1]["pathType"], "Prefix");
    assert_eq!(rules[0]["http"]["paths"][1]["backend"]["service"]["port"]["name"], "http");
    assert_eq!(made["spec"]["tls"], json!([{"hosts": ["a.b"], "secretName": "t"}, {}]));
    for wrong in ["a.b=s:80", "a.b/=s", "a.b/=s:80,x", "/="] {
        let expected =
            format!("error: rule {wrong} is invalid and should be in format host/path=svcname:svcport[,tls[=secret]]");
        assert_eq!(error(&format!("ingress i --rule {wrong}")), expected);
    }
    assert!(error("ingress i").contains("not enough information provided"));
}

#[test]
fn bindings_have_users_groups_and_accounts() {
    let made = make("rolebinding b --role=r --user=u --group=g --serviceaccount=n:s").unwrap().object;
    let kinds: Vec<&str> = made["subjects"].as_array().unwrap().iter().map(|it| it["kind"].as_str().unwrap()).collect();
    assert_eq!(kinds, ["User", "Group", "ServiceAccount"]);
    assert_eq!(error("rolebinding b"), "error: exactly one of clusterrole or role must be specified");
    assert_eq!(
        error("clusterrolebinding b --clusterrole=r --serviceaccount=s"),
        "error: serviceaccount must be <namespace>:<name>"
    );
}

#[test]
fn secrets_are_in_base64() {
    let made =
        make("secret docker-registry d --docker-username=u --docker-password=p --docker-email=e").unwrap().object;
    let expected = "eyJhdXRocyI6eyJodHRwczovL2luZGV4LmRvY2tlci5pby92MS8iOnsidXNlcm5hbWUiOiJ1IiwicGFzc3dvcmQiOiJwIiwiZW1h\
                    aWwiOiJlIiwiYXV0aCI6ImRUcHcifX19";
    assert_eq!(made["data"][".dockerconfigjson"], expected);
    assert_eq!(make("secret generic s --from-literal=a=b --type=t").unwrap().object["data"]["a"], "Yg==");
    assert!(error("secret tls t").contains("key and cert must be specified"));
    assert!(error("cm c --from-literal=a=b --from-literal=a=c").contains("cannot add key \"a\", another key"));
}

#[test]
fn budgets_name_one_number() {
    let spec = |line: &str| make(line).unwrap().object["spec"].clone();
    assert_eq!(spec("pdb p --selector=a=b --min-available=1")["minAvailable"], 1);
    assert_eq!(spec("pdb p --selector=a=b --max-unavailable=50%")["maxUnavailable"], "50%");
    let exists = spec("pdb p --selector=a,c!=d --max-unavailable=1")["selector"].clone();
    let expected =
        [json!({"key": "a", "operator": "Exists"}), json!({"key": "c", "operator": "NotIn", "values": ["d"]})];
    assert_eq!(exists, json!({"matchExpressions": expected}));
    assert_eq!(error("pdb p --selector=a"), "error: one of min-available or max-unavailable must be specified");
    assert_eq!(error("pdb p --min-available=1"), "error: a selector must be specified");
    assert_eq!(error("quota q --hard=cpu"), "error: Invalid argument syntax cpu, expected <resource>=<value>");
}
