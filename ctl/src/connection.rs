//! Which server, as whom, and in which namespace: kubectl's options, and its rules for kubeconfigs.

use std::path::{Path, PathBuf};

use clap::Args;
use http::{HeaderName, HeaderValue};
use kube::config::{AuthInfo, KubeConfigOptions, Kubeconfig};
use kube::{Client, Config};

use crate::Error;

/// The options that say it.
#[derive(Clone, Debug, Default, Args)]
#[command(next_help_heading = "Which cluster, as whom")]
pub struct Connection {
    /// The kubeconfig to use [default: those of $KUBECONFIG, then ~/.kube/config, then the cluster of this machine].
    #[arg(global = true, long, value_name = "FILE")]
    pub kubeconfig: Option<PathBuf>,
    /// The context of the kubeconfig to use.
    #[arg(global = true, long, value_name = "NAME")]
    pub context: Option<String>,
    /// The cluster of the kubeconfig to use.
    #[arg(global = true, long, value_name = "NAME")]
    pub cluster: Option<String>,
    /// The user of the kubeconfig to be. Verbs of a verb have a --user of their own: only before them it is this one.
    #[arg(long, value_name = "NAME")]
    pub user: Option<String>,
    /// The namespace to work in.
    #[arg(global = true, short, long, value_name = "NAME")]
    pub namespace: Option<String>,
    /// Where the API server is.
    #[arg(global = true, short, long, value_name = "URL")]
    pub server: Option<String>,
    /// The bearer token to show to the server.
    #[arg(global = true, long, value_name = "TOKEN")]
    pub token: Option<String>,
    /// The user to act as.
    #[arg(global = true, long = "as", value_name = "USER")]
    pub impersonate: Option<String>,
    /// A group to act as a member of; can be given more than once.
    #[arg(global = true, long = "as-group", value_name = "GROUP")]
    pub impersonate_groups: Vec<String>,
    /// A file with the authority by which the server is trusted, in PEM.
    #[arg(global = true, long, value_name = "FILE")]
    pub certificate_authority: Option<PathBuf>,
    /// A file with the certificate to show to the server, in PEM.
    #[arg(global = true, long, value_name = "FILE")]
    pub client_certificate: Option<PathBuf>,
    /// A file with the key of that certificate, in PEM.
    #[arg(global = true, long, value_name = "FILE")]
    pub client_key: Option<PathBuf>,
    /// Whether to trust whatever answers.
    #[arg(global = true, long, value_name = "BOOL", default_value_t = false, num_args = 0..=1, require_equals = true, default_missing_value = "true", action = clap::ArgAction::Set)]
    pub insecure_skip_tls_verify: bool,
    /// How long a single request may take, such as 5s; 0 is as long as it takes.
    #[arg(global = true, long, value_name = "DURATION", default_value = "0")]
    pub request_timeout: String,
    /// The name that the server's certificate is to have, if it is not the one by which the server is asked.
    #[arg(global = true, long, value_name = "NAME")]
    pub tls_server_name: Option<String>,
    /// The name to show to the server, with --password.
    #[arg(global = true, long, value_name = "NAME")]
    pub username: Option<String>,
    /// The password to show to the server.
    #[arg(global = true, long, value_name = "PASSWORD")]
    pub password: Option<String>,
    /// The UID to act as.
    #[arg(global = true, long, value_name = "UID")]
    pub as_uid: Option<String>,
    /// What else is known of the user to act as, as KEY=VALUE; can be given more than once.
    #[arg(global = true, long, value_name = "PAIR")]
    pub as_user_extra: Vec<String>,
    /// Whether a server of another version than this program's is refused.
    #[arg(global = true, long, value_name = "BOOL", default_value_t = false, num_args = 0..=1, require_equals = true, default_missing_value = "true", action = clap::ArgAction::Set)]
    pub match_server_version: bool,
    /// Whether what the server warns of is a failure.
    #[arg(global = true, long, value_name = "BOOL", default_value_t = false, num_args = 0..=1, require_equals = true, default_missing_value = "true", action = clap::ArgAction::Set)]
    pub warnings_as_errors: bool,
}

impl Connection {
    /// The client, and the namespace that the kubeconfig or the options name.
    pub(crate) async fn connect(&self) -> Result<(Client, String), Error> {
        let config = self.config().await?;
        let namespace = self.namespace.clone().unwrap_or_else(|| config.default_namespace.clone());
        let client = Client::try_from(config).map_err(|error| Error::said(error.to_string()))?;
        Ok((client, namespace))
    }

    /// Which server it is, and what is shown to it.
    pub(crate) async fn config(&self) -> Result<Config, Error> {
        let problem = |error: &dyn std::fmt::Display| Error::said(error.to_string());
        let kubeconfig = self.read()?;
        self.check(&kubeconfig)?;
        let kubeconfig = self.adjusted(kubeconfig);
        let options = KubeConfigOptions { context: self.context.clone(), cluster: None, user: None };
        let mut config = Config::from_custom_kubeconfig(kubeconfig, &options).await.map_err(|error| problem(&error))?;
        if let Some(server) = &self.server {
            let url = if server.contains("://") { server.clone() } else { format!("http://{server}") };
            config.cluster_url = url.parse().map_err(|_| Error::said(format!("--server {server:?} is no URL")))?;
        }
        config.accept_invalid_certs |= self.insecure_skip_tls_verify;
        if let Some(name) = &self.tls_server_name {
            config.tls_server_name = Some(name.clone());
        }
        config.headers.extend(self.headers().map_err(Error::said)?);
        if let Some(path) = &self.certificate_authority {
            let pem = std::fs::read(path).map_err(|error| problem(&format!("{}: {error}", path.display())))?;
            config.root_cert = Some(certificates(&pem));
        }
        // Watches and logs last as long as they last.
        config.read_timeout = None;
        // An eviction that a budget forbids is no failure of the server: `Session` asks again only if the server says when.
        config.default_retry = false;
        Ok(config)
    }

    /// What of the user to act as the kubeconfig has no place for.
    fn headers(&self) -> Result<Vec<(HeaderName, HeaderValue)>, String> {
        let mut pairs: Vec<(String, &str)> = Vec::new();
        if let Some(uid) = &self.as_uid {
            pairs.push(("impersonate-uid".to_owned(), uid));
        }
        for pair in &self.as_user_extra {
            let (key, value) =
                pair.split_once('=').ok_or_else(|| format!("--as-user-extra {pair:?} is not KEY=VALUE"))?;
            pairs.push((format!("impersonate-extra-{}", crate::resources::escape(key)), value));
        }
        let header = |(name, value): (String, &str)| {
            let problem = |error: &dyn std::fmt::Display| format!("{name}: {error}");
            let value = HeaderValue::from_str(value).map_err(|error| problem(&error))?;
            Ok((HeaderName::from_bytes(name.as_bytes()).map_err(|error| problem(&error))?, value))
        };
        pairs.into_iter().map(header).collect()
    }

    /// The kubeconfigs that are meant, whether they are there or not.
    pub(crate) fn files(&self) -> Vec<PathBuf> {
        if let Some(path) = &self.kubeconfig {
            return vec![path.clone()];
        }
        let of_environment: Vec<PathBuf> = match std::env::var_os("KUBECONFIG") {
            Some(paths) => std::env::split_paths(&paths).filter(|path| !path.as_os_str().is_empty()).collect(),
            None => Vec::new(),
        };
        if !of_environment.is_empty() {
            return of_environment;
        }
        let all = candidates(std::env::var_os("HOME").map(PathBuf::from));
        all.iter().find(|path| path.exists()).or_else(|| all.first()).cloned().into_iter().collect()
    }

    /// What the files say.
    fn read(&self) -> Result<Kubeconfig, Error> {
        let from = |path: &Path| {
            if !path.exists() {
                return Err(Error::said(format!("stat {}: no such file or directory", path.display())));
            }
            Kubeconfig::read_from(path).map_err(|error| Error::said(format!("{}: {error}", path.display())))
        };
        if let Some(path) = &self.kubeconfig {
            return from(path);
        }
        if let Some(config) = Kubeconfig::from_env().map_err(|error| Error::said(format!("$KUBECONFIG: {error}")))? {
            return Ok(config);
        }
        let here = candidates(std::env::var_os("HOME").map(PathBuf::from)).into_iter().find(|path| path.exists());
        match here {
            Some(path) => from(&path),
            // Then it is all in the options.
            None if self.server.is_some() => Ok(Kubeconfig::default()),
            None => Err(Error::said(
                "there is no kubeconfig: start a cluster with `gantry up`, or name one with --kubeconfig or $KUBECONFIG",
            )),
        }
    }

    /// Refuses options that name what the files do not have, in kubectl's words.
    fn check(&self, kubeconfig: &Kubeconfig) -> Result<(), Error> {
        let current = self.context.as_ref().or(kubeconfig.current_context.as_ref());
        let context = kubeconfig.contexts.iter().find(|context| Some(&context.name) == current);
        if let Some(name) = self.context.as_ref().filter(|_| context.is_none()) {
            let why = format!("context was not found for specified context: {name}");
            return Err(Error::Plain(format!("Error in configuration: {why}")));
        }
        let is_user = |name: &String| kubeconfig.auth_infos.iter().any(|user| user.name == *name);
        if let Some(name) = self.user.as_ref().filter(|name| !is_user(name)) {
            return Err(Error::said(format!("auth info {name:?} does not exist")));
        }
        let is_cluster = |name: &String| kubeconfig.clusters.iter().any(|cluster| cluster.name == *name);
        if let Some(name) = self.cluster.as_ref().filter(|name| self.server.is_none() && !is_cluster(name)) {
            return Err(Error::said(format!("no server found for cluster {name:?}")));
        }
        let says_more = self.as_uid.is_some() || !self.as_user_extra.is_empty() || !self.impersonate_groups.is_empty();
        if self.impersonate.is_none() && says_more {
            let user = context.and_then(|context| context.context.as_ref()?.user.clone());
            let user = self.user.clone().or(user).unwrap_or_default();
            let why = "without impersonating a user";
            return Err(Error::said(format!("requesting uid, groups or user-extra for {user} {why}")));
        }
        Ok(())
    }

    /// With what the options say instead of the files.
    fn adjusted(&self, mut kubeconfig: Kubeconfig) -> Kubeconfig {
        const NAME: &str = "command-line";
        let current = self.context.clone().or_else(|| kubeconfig.current_context.clone());
        let mut context = kubeconfig.contexts.iter().find(|context| Some(&context.name) == current.as_ref()).cloned();
        if context.is_none() && self.context.is_none() {
            kubeconfig.current_context = Some(NAME.to_owned());
            context =
                Some(kube::config::NamedContext { name: NAME.to_owned(), ..kube::config::NamedContext::default() });
            kubeconfig.contexts.extend(context.clone());
        }
        let Some(mut context) = context else { return kubeconfig };
        let inner = context.context.get_or_insert_default();
        if let Some(cluster) = &self.cluster {
            inner.cluster.clone_from(cluster);
        }
        if let Some(user) = &self.user {
            inner.user = Some(user.clone());
        }
        if inner.cluster.is_empty() {
            NAME.clone_into(&mut inner.cluster);
            let cluster = kube::config::Cluster { server: self.server.clone(), ..kube::config::Cluster::default() };
            let cluster =
                kube::config::NamedCluster { name: NAME.to_owned(), cluster: Some(cluster), ..Default::default() };
            kubeconfig.clusters.push(cluster);
        }
        let user = inner.user.get_or_insert_with(|| NAME.to_owned()).clone();
        let named = kubeconfig.auth_infos.iter_mut().find(|named| named.name == user);
        match named {
            Some(named) => self.identify(named.auth_info.get_or_insert_default()),
            None if self.user.is_none() => {
                let mut auth_info = AuthInfo::default();
                self.identify(&mut auth_info);
                let named =
                    kube::config::NamedAuthInfo { name: user, auth_info: Some(auth_info), ..Default::default() };
                kubeconfig.auth_infos.push(named);
            }
            None => {}
        }
        kubeconfig.contexts.retain(|other| other.name != context.name);
        kubeconfig.contexts.push(context);
        kubeconfig
    }

    fn identify(&self, user: &mut AuthInfo) {
        let path = |path: &Path| path.to_string_lossy().into_owned();
        if let Some(token) = &self.token {
            *user = AuthInfo { token: Some(token.clone().into()), ..AuthInfo::default() };
        }
        if let Some(name) = &self.username {
            user.username = Some(name.clone());
        }
        if let Some(password) = &self.password {
            user.password = Some(password.clone().into());
        }
        if let Some(certificate) = &self.client_certificate {
            user.client_certificate = Some(path(certificate));
            user.client_certificate_data = None;
        }
        if let Some(key) = &self.client_key {
            user.client_key = Some(path(key));
            user.client_key_data = None;
        }
        if let Some(name) = &self.impersonate {
            user.impersonate = Some(name.clone());
        }
        if !self.impersonate_groups.is_empty() {
            user.impersonate_groups = Some(self.impersonate_groups.clone());
        }
    }
}

/// Where kubeconfigs are, first things first: the user's, and then that of a cluster of this machine.
fn candidates(home: Option<PathBuf>) -> Vec<PathBuf> {
    let home = home.filter(|home| !home.as_os_str().is_empty());
    let of_home = ["/.kube/config", "/.local/share/gantry/admin.kubeconfig"];
    let of_home = home.iter().flat_map(|home| of_home.map(|path| home.join(path.trim_start_matches('/'))));
    let mut paths: Vec<PathBuf> = of_home.collect();
    paths.insert(paths.len().min(1), PathBuf::from("/var/lib/gantry/admin.kubeconfig"));
    paths
}

/// The certificates of a PEM file, as DER. What is none is left out: an empty list trusts nobody.
fn certificates(pem: &[u8]) -> Vec<Vec<u8>> {
    use rustls_pki_types::CertificateDer;
    use rustls_pki_types::pem::PemObject;
    CertificateDer::pem_slice_iter(pem).flatten().map(|certificate| certificate.to_vec()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_users_kubeconfig_comes_before_that_of_the_machine() {
        let paths: Vec<String> =
            candidates(Some("/home/a".into())).iter().map(|path| path.display().to_string()).collect();
        let expected = [
            "/home/a/.kube/config",
            "/var/lib/gantry/admin.kubeconfig",
            "/home/a/.local/share/gantry/admin.kubeconfig",
        ];
        assert_eq!(paths, expected);
        assert_eq!(candidates(None).len(), 1);
    }

    #[test]
    fn options_come_before_the_files() {
        let kubeconfig = Kubeconfig::from_yaml(
            "{current-context: a, contexts: [{name: a, context: {cluster: c, user: u, namespace: n}}], \
             clusters: [{name: c, cluster: {server: 'https://x'}}], users: [{name: u, user: {token: t}}]}",
        )
        .unwrap();
        let connection = Connection {
            impersonate: Some("jane".to_owned()),
            impersonate_groups: vec!["dev".to_owned()],
            ..Connection::default()
        };
        let adjusted = connection.adjusted(kubeconfig.clone());
        let user = adjusted.auth_infos[0].auth_info.as_ref().unwrap();
        assert_eq!(user.impersonate.as_deref(), Some("jane"));
        assert_eq!(user.impersonate_groups.as_deref(), Some(&["dev".to_owned()][..]));
        assert!(user.token.is_some());
        // All in the options.
        let connection =
            Connection { server: Some("http://y".to_owned()), token: Some("z".into()), ..Connection::default() };
        let adjusted = connection.adjusted(Kubeconfig::default());
        assert_eq!(adjusted.contexts.len(), 1);
        assert_eq!(adjusted.clusters[0].cluster.as_ref().unwrap().server.as_deref(), Some("http://y"));
        // A context that is not there is not made.
        let connection = Connection { context: Some("b".to_owned()), ..Connection::default() };
        assert_eq!(connection.adjusted(kubeconfig).contexts.len(), 1);
    }

    #[test]
    fn what_the_files_do_not_have_is_refused() {
        let kubeconfig = Kubeconfig::from_yaml(
            "{current-context: a, contexts: [{name: a, context: {cluster: c, user: u}}], \
             clusters: [{name: c, cluster: {server: 'https://x'}}], users: [{name: u, user: {token: t}}]}",
        )
        .unwrap();
        let check = |connection: Connection, expected: &str| {
            assert_eq!(
                connection.check(&kubeconfig).err().map(|error| error.to_string()).unwrap_or_default(),
                expected
            );
        };
        let named = |name: &str| Some(name.to_owned());
        check(Connection::default(), "");
        check(Connection { user: named("u"), cluster: named("c"), context: named("a"), ..Connection::default() }, "");
        check(
            Connection { context: named("b"), ..Connection::default() },
            "Error in configuration: context was not found for specified context: b",
        );
        check(Connection { user: named("v"), ..Connection::default() }, "error: auth info \"v\" does not exist");
        check(Connection { cluster: named("d"), ..Connection::default() }, "error: no server found for cluster \"d\"");
        let elsewhere = Connection { cluster: named("d"), server: named("http://y"), ..Connection::default() };
        check(elsewhere, "");
        check(
            Connection { as_uid: named("1"), ..Connection::default() },
            "error: requesting uid, groups or user-extra for u without impersonating a user",
        );
    }
}
