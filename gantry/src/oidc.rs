//! The options of upstream's API server that say whose tokens are believed (OpenID Connect).

use std::path::PathBuf;

use apiserver::authn::{Algorithm, OidcOptions};
use clap::Args;

/// Whose tokens are believed, and how.
#[derive(Clone, Debug, Args)]
pub(crate) struct Oidc {
    /// The OpenID Connect issuer whose tokens say who people are; a URL of HTTPS.
    #[arg(long, value_name = "URL", requires = "oidc_client_id")]
    oidc_issuer_url: Option<String>,
    /// For whom the issuer's tokens have to be.
    #[arg(long, value_name = "ID", requires = "oidc_issuer_url")]
    oidc_client_id: Option<String>,
    /// The claim that is the name of the user.
    #[arg(long, value_name = "CLAIM", default_value = "sub")]
    oidc_username_claim: String,
    /// What is put before the names of users; - for nothing [default: the issuer's URL and #, or nothing with the claim email].
    #[arg(long, value_name = "PREFIX", allow_hyphen_values = true)]
    oidc_username_prefix: Option<String>,
    /// The claim that is the groups of the user, a list or one.
    #[arg(long, value_name = "CLAIM")]
    oidc_groups_claim: Option<String>,
    /// What is put before the names of groups.
    #[arg(long, value_name = "PREFIX", default_value = "")]
    oidc_groups_prefix: String,
    /// A claim that has to be there, and its value: claim=value. May be given more than once.
    #[arg(long, value_name = "CLAIM=VALUE", value_parser = pair, value_delimiter = ',')]
    oidc_required_claim: Vec<(String, String)>,
    /// The authorities that the issuer's certificate is checked against, in PEM [default: those of the machine].
    #[arg(long, value_name = "FILE")]
    oidc_ca_file: Option<PathBuf>,
    /// How tokens may be signed.
    #[arg(long, value_name = "ALGORITHMS", value_delimiter = ',', default_value = "RS256")]
    oidc_signing_algs: Vec<Algorithm>,
}

fn pair(text: &str) -> Result<(String, String), String> {
    let (claim, value) = text.split_once('=').ok_or("it is not of the form claim=value")?;
    Ok((claim.to_owned(), value.to_owned()))
}

impl Oidc {
    /// What they say, if there is an issuer.
    pub(crate) fn options(self) -> Option<OidcOptions> {
        let (issuer_url, client_id) = self.oidc_issuer_url.zip(self.oidc_client_id)?;
        Some(OidcOptions {
            issuer_url,
            client_id,
            username_claim: self.oidc_username_claim,
            username_prefix: self.oidc_username_prefix,
            groups_claim: self.oidc_groups_claim,
            groups_prefix: self.oidc_groups_prefix,
            required_claims: self.oidc_required_claim,
            ca_file: self.oidc_ca_file,
            signing_algorithms: self.oidc_signing_algs,
        })
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Debug, Parser)]
    struct Line {
        #[command(flatten)]
        oidc: Oidc,
    }

    fn parse(line: &str) -> Result<Option<OidcOptions>, String> {
        let line = Line::try_parse_from(line.split(' ')).map_err(|error| error.to_string())?;
        Ok(line.oidc.options())
    }

    #[test]
    fn options_are_upstreams() {
        assert_eq!(parse("x"), Ok(None));
        let least = "x --oidc-issuer-url https://i --oidc-client-id us";
        assert_eq!(parse(least), Ok(Some(OidcOptions::new("https://i", "us"))));
        let all = format!(
            "{least} --oidc-username-claim email --oidc-username-prefix - --oidc-groups-claim g --oidc-groups-prefix o: \
             --oidc-required-claim a=b --oidc-required-claim c=d=e --oidc-ca-file ca --oidc-signing-algs ES256,PS512"
        );
        let pair = |claim: &str, value: &str| (claim.to_owned(), value.to_owned());
        let expected = OidcOptions {
            username_claim: "email".to_owned(),
            username_prefix: Some("-".to_owned()),
            groups_claim: Some("g".to_owned()),
            groups_prefix: "o:".to_owned(),
            required_claims: vec![pair("a", "b"), pair("c", "d=e")],
            ca_file: Some("ca".into()),
            signing_algorithms: vec![Algorithm::Es256, Algorithm::Ps512],
            ..OidcOptions::new("https://i", "us")
        };
        assert_eq!(parse(&all), Ok(Some(expected)));
        for (line, named) in [
            ("x --oidc-issuer-url https://i", "--oidc-client-id"),
            ("x --oidc-client-id us", "--oidc-issuer-url"),
            ("x --oidc-signing-algs none", "unsupported signing alg"),
            ("x --oidc-required-claim a", "claim=value"),
        ] {
            let error = parse(line).unwrap_err();
            assert!(error.contains(named), "{line}: {error}");
        }
    }
}
