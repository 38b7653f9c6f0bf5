//! Who is let in, and how long it is remembered.

use futures::FutureExt;
use futures::future::BoxFuture;
use http::HeaderValue;
use k8s_openapi::api::authentication::v1::UserInfo;
use k8s_openapi::api::authorization::v1::{SubjectAccessReviewSpec, SubjectAccessReviewStatus};
use parking_lot::Mutex;
use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair, KeyUsagePurpose,
};
use rustls::pki_types::pem::PemObject;

use super::*;

/// Knows one token, and counts what it is asked.
#[derive(Default)]
struct Tokens {
    asked: Mutex<Vec<String>>,
    away: Mutex<bool>,
}

impl Reviews for Tokens {
    fn token<'a>(&'a self, token: &'a str) -> BoxFuture<'a, Result<TokenReviewStatus, ReviewError>> {
        self.asked.lock().push(token.to_owned());
        let away = *self.away.lock();
        async move {
            if away {
                return Err(ReviewError::Late);
            }
            let user = UserInfo {
                username: Some("somebody".into()),
                groups: Some(vec!["friends".into()]),
                ..UserInfo::default()
            };
            let known = token == "good";
            Ok(TokenReviewStatus {
                authenticated: Some(known),
                user: known.then_some(user),
                ..TokenReviewStatus::default()
            })
        }
        .boxed()
    }

    fn access(&self, _: SubjectAccessReviewSpec) -> BoxFuture<'_, Result<SubjectAccessReviewStatus, ReviewError>> {
        async { Err(ReviewError::Empty) }.boxed()
    }
}

fn headers(value: &'static str) -> HeaderMap {
    HeaderMap::from_iter([(AUTHORIZATION, HeaderValue::from_static(value))])
}

#[test]
fn a_token_stands_behind_its_scheme() {
    let cases = [
        ("Bearer abc", Some("abc")),
        ("bearer abc", Some("abc")),
        ("  Bearer abc  ", Some("abc")),
        ("Bearer abc def", Some("abc")),
        ("Bearer", None),
        ("Bearer  abc", None),
        ("Basic abc", None),
        ("", None),
    ];
    for (value, expected) in cases {
        assert_eq!(bearer(&headers(value)), expected, "{value:?}");
    }
    assert_eq!(bearer(&HeaderMap::new()), None);
}

#[tokio::test(start_paused = true)]
async fn what_is_known_of_a_token_is_remembered_for_a_time() {
    let tokens = Arc::new(Tokens::default());
    let start = jiff::Timestamp::from_second(1_772_366_400).unwrap();
    let authentication = Authentication::new(None, Arc::<Tokens>::clone(&tokens), Clock::simulated(start));
    let owner = async |value| authentication.identify(&Peer::Unknown, &headers(value)).await;
    let asked = || std::mem::take(&mut *tokens.asked.lock()).len();

    let somebody = owner("Bearer good").await.unwrap();
    assert_eq!((&*somebody.user, somebody.groups.clone()), ("somebody", vec!["friends".into(), AUTHENTICATED.into()]));
    assert_eq!(owner("Bearer bad").await, None);
    assert_eq!(asked(), 2);
    assert_eq!((owner("Bearer good").await.is_some(), owner("Bearer bad").await), (true, None));
    assert_eq!(asked(), 0, "both are known");
    tokio::time::advance(UNKNOWN).await;
    assert_eq!((owner("Bearer good").await.is_some(), owner("Bearer bad").await), (true, None));
    assert_eq!(asked(), 1, "the bad one may be good by now");
    tokio::time::advance(KNOWN).await;
    assert!(owner("Bearer good").await.is_some());
    assert_eq!(asked(), 1, "the good one may be bad by now");

    // No answer is none, and is not remembered.
    *tokens.away.lock() = true;
    assert_eq!((owner("Bearer new").await, owner("Bearer new").await), (None, None));
    assert_eq!(asked(), 2);
    assert_eq!(authentication.identify(&Peer::Unknown, &HeaderMap::new()).await, None, "nobody is nobody");
}

#[tokio::test(start_paused = true)]
async fn no_more_reviews_are_under_way_than_there_may_be() {
    let tokens = Arc::new(Tokens::default());
    let authentication = Authentication::new(None, Arc::<Tokens>::clone(&tokens), Clock::Machine);
    let many = (0..REVIEWS * 4).map(|_| async {
        let of_good = headers("Bearer good");
        authentication.identify(&Peer::Unknown, &of_good).await
    });
    let owners = futures::future::join_all(many).await;
    assert!(owners.iter().all(Option::is_some));
    assert!(tokens.asked.lock().len() <= REVIEWS, "{}", tokens.asked.lock().len());
}

struct Authority {
    pem: String,
    issuer: Issuer<'static, KeyPair>,
}

fn authority() -> Authority {
    let key = KeyPair::generate().unwrap();
    let mut params = CertificateParams::default();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
    params.distinguished_name.push(DnType::CommonName, "authority");
    let pem = params.self_signed(&key).unwrap().pem();
    Authority { issuer: Issuer::new(params, key), pem }
}

fn issued(by: &Authority, names: &[(DnType, &str)], purpose: ExtendedKeyUsagePurpose) -> CertificateDer<'static> {
    let mut params = CertificateParams::default();
    params.distinguished_name = rcgen::DistinguishedName::new();
    for (kind, name) in names {
        params.distinguished_name.push(kind.clone(), *name);
    }
    params.extended_key_usages = vec![purpose];
    params.not_before = rcgen::date_time_ymd(2026, 1, 1);
    params.not_after = rcgen::date_time_ymd(2027, 1, 1);
    let key = KeyPair::generate().unwrap();
    let pem = params.signed_by(&key, &by.issuer).unwrap().pem();
    CertificateDer::from_pem_slice(pem.as_bytes()).unwrap()
}

#[tokio::test(start_paused = true)]
async fn a_certificate_says_who_it_is_as_long_as_it_is_valid() {
    let (own, foreign) = (authority(), authority());
    let at = "2026-12-31T23:59:00Z".parse().unwrap();
    let clients = ClientAuthority::new(&own.pem).unwrap();
    let tokens = Arc::new(Tokens::default());
    let authentication = Authentication::new(Some(clients.clone()), tokens, Clock::simulated(at));
    let names = [(DnType::CommonName, "apiserver"), (DnType::OrganizationName, "system:masters")];
    let judge = |by, names: &[_], purpose| authentication.judge(&[issued(by, names, purpose)]);
    let (client, server) = (ExtendedKeyUsagePurpose::ClientAuth, ExtendedKeyUsagePurpose::ServerAuth);
    let good = judge(&own, &names, client.clone());
    let who = async |peer| authentication.identify(peer, &HeaderMap::new()).await;

    let identity = who(&good).await.unwrap();
    let groups = vec!["system:masters".to_owned(), AUTHENTICATED.to_owned()];
    assert_eq!((&*identity.user, &identity.groups), ("apiserver", &groups));
    let worthless = [
        ("another authority", judge(&foreign, &names, client.clone())),
        ("not for clients", judge(&own, &names, server)),
        ("no name", judge(&own, &names[1..], client)),
        ("none", authentication.judge(&[])),
    ];
    for (what, peer) in &worthless {
        assert_eq!(who(peer).await, None, "{what}");
        // A token proves what the certificate does not.
        let of_good = headers("Bearer good");
        assert!(authentication.identify(peer, &of_good).await.is_some(), "{what}");
    }
    clients.replace("none").unwrap_err();
    assert!(who(&good).await.is_some(), "what is no authority replaces none");
    clients.replace(&foreign.pem).unwrap();
    assert_eq!(who(&good).await, None, "who issued it is not trusted any more, and the connection still there");
    let by_foreign = authentication.judge(&[issued(&foreign, &names, ExtendedKeyUsagePurpose::ClientAuth)]);
    assert!(who(&by_foreign).await.is_some());
    clients.replace(&format!("{}{}", foreign.pem, own.pem)).unwrap();
    assert!(who(&good).await.is_some() && who(&by_foreign).await.is_some());
    tokio::time::advance(Duration::from_secs(120)).await;
    assert_eq!(who(&good).await, None, "its time is over, and the connection still there");
}
