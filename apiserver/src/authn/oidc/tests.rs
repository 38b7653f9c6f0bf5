//! An issuer of the test's own, over TLS on loopback.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::KeySize;
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair as _, RSA_PKCS1_SHA256, RSA_PSS_SHA384, RsaEncoding,
    RsaKeyPair,
};
use bytes::Bytes;
use http::{Request, Response};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use rustls::ServerConfig;
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;

use super::*;
use crate::authn::{Authenticators, Refused};

struct Issuer {
    url: String,
    ca: tempfile::NamedTempFile,
    keys: Arc<RwLock<Value>>,
    asked: Arc<AtomicUsize>,
}

impl Issuer {
    async fn start() -> Issuer {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address: SocketAddr = listener.local_addr().unwrap();
        let made = rcgen::generate_simple_self_signed(vec!["127.0.0.1".to_owned()]).unwrap();
        let ca = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(ca.path(), made.cert.pem()).unwrap();
        let key = PrivateKeyDer::from(PrivatePkcs8KeyDer::from(made.signing_key.serialize_der()));
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let config = ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
        let config = config.with_no_client_auth().with_single_cert(vec![made.cert.der().clone()], key).unwrap();
        let acceptor = TlsAcceptor::from(Arc::new(config));
        let (keys, asked) = (Arc::new(RwLock::new(json!({"keys": []}))), Arc::new(AtomicUsize::new(0)));
        let url = format!("https://{address}/realm");
        let (served, counted, own) = (Arc::clone(&keys), Arc::clone(&asked), url.clone());
        tokio::spawn(async move {
            loop {
                let (socket, _) = listener.accept().await.unwrap();
                let (acceptor, served, counted, own) =
                    (acceptor.clone(), Arc::clone(&served), Arc::clone(&counted), own.clone());
                tokio::spawn(async move {
                    let Ok(stream) = acceptor.accept(socket).await else { return };
                    let answer = service_fn(move |request: Request<Incoming>| {
                        let body = match request.uri().path() {
                            "/realm/.well-known/openid-configuration" => {
                                json!({"issuer": own, "jwks_uri": format!("{own}/keys")})
                            }
                            "/realm/keys" => {
                                counted.fetch_add(1, Ordering::Relaxed);
                                served.read().clone()
                            }
                            path => panic!("{path}"),
                        };
                        async move { Ok::<_, Infallible>(Response::new(Full::new(Bytes::from(body.to_string())))) }
                    });
                    let _ =
                        hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), answer).await;
                });
            }
        });
        Issuer { url, ca, keys, asked }
    }

    fn options(&self) -> OidcOptions {
        let signing_algorithms = vec![Algorithm::Rs256, Algorithm::Es256, Algorithm::Ps384];
        let ca_file = Some(self.ca.path().to_owned());
        OidcOptions { ca_file, signing_algorithms, ..OidcOptions::new(&self.url, "us") }
    }

    fn claims(&self) -> Value {
        json!({"iss": self.url, "aud": "us", "sub": "7", "exp": 4_000_000_000_i64})
    }
}

fn encoded(value: &Value) -> String {
    URL_SAFE_NO_PAD.encode(value.to_string())
}

enum Key {
    Rsa(RsaKeyPair),
    Ec(EcdsaKeyPair),
}

impl Key {
    fn rsa() -> Key {
        Key::Rsa(RsaKeyPair::generate(KeySize::Rsa2048).unwrap())
    }

    fn ec() -> Key {
        Key::Ec(EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).unwrap())
    }

    fn jwk(&self, id: &str) -> Value {
        let text = |bytes: &[u8]| URL_SAFE_NO_PAD.encode(bytes);
        match self {
            Key::Rsa(pair) => {
                let public = pair.public_key();
                let n = text(public.modulus().big_endian_without_leading_zero());
                let e = text(public.exponent().big_endian_without_leading_zero());
                json!({"kty": "RSA", "kid": id, "use": "sig", "n": n, "e": e})
            }
            Key::Ec(pair) => {
                let (x, y) = pair.public_key().as_ref()[1..].split_at(32);
                json!({"kty": "EC", "kid": id, "crv": "P-256", "x": text(x), "y": text(y)})
            }
        }
    }

    fn sign(&self, algorithm: &str, id: &str, claims: &Value) -> String {
        let signed = format!("{}.{}", encoded(&json!({"alg": algorithm, "kid": id})), encoded(claims));
        let random = SystemRandom::new();
        let signature = match self {
            Key::Rsa(pair) => {
                let by: &dyn RsaEncoding =
                    if algorithm.starts_with("PS") { &RSA_PSS_SHA384 } else { &RSA_PKCS1_SHA256 };
                let mut signature = vec![0; pair.public_modulus_len()];
                pair.sign(by, &random, signed.as_bytes(), &mut signature).unwrap();
                signature
            }
            Key::Ec(pair) => pair.sign(&random, signed.as_bytes()).unwrap().as_ref().to_vec(),
        };
        format!("{signed}.{}", URL_SAFE_NO_PAD.encode(signature))
    }
}

/// What everybody is told whose token does not count.
async fn refused(by: &Authenticators, token: &str) -> String {
    match by.owner(token, &[], SystemTime::now()).await {
        Err(why) => why.to_string(),
        Ok(owner) => panic!("{owner:?}"),
    }
}

#[tokio::test]
async fn tokens_of_the_issuer_say_who_one_is() {
    let issuer = Issuer::start().await;
    let (rsa, ec, theirs) = (Key::rsa(), Key::ec(), Key::ec());
    *issuer.keys.write() =
        json!({"keys": [rsa.jwk("r"), ec.jwk("e"), {"kty": "oct", "k": "c2VjcmV0"}, {"kty": "EC"}, 7]});
    let by = Authenticators::new(None).with_oidc(Oidc::new(issuer.options()).unwrap());
    let claims = issuer.claims();
    for token in [rsa.sign("RS256", "r", &claims), rsa.sign("PS384", "r", &claims), ec.sign("ES256", "e", &claims)] {
        let owner = by.owner(&token, &[], SystemTime::now()).await.unwrap();
        assert_eq!(owner.identity.user, format!("{}#7", issuer.url));
    }
    assert_eq!(issuer.asked.load(Ordering::Relaxed), 1);
    assert!(by.owner(&ec.sign("ES256", "", &claims), &[], SystemTime::now()).await.is_ok(), "no key is named");

    let not_signed = "failed to verify id token signature";
    let check = async |token: &str, expected: &str| {
        let why = refused(&by, token).await;
        assert!(why.contains(expected), "{token}: {why}");
    };
    check(&theirs.sign("ES256", "e", &claims), not_signed).await;
    check(&ec.sign("ES256", "r", &claims), not_signed).await;
    check(&rsa.sign("RS256", "e", &claims), not_signed).await;
    check(&rsa.sign("RS384", "r", &claims), "unsupported algorithm, got \"RS384\"").await;
    let (head, rest) =
        ec.sign("ES256", "e", &claims).split_once('.').map(|(a, b)| (a.to_owned(), b.to_owned())).unwrap();
    for algorithm in ["none", "None", "HS256", ""] {
        let header = encoded(&json!({"alg": algorithm, "kid": "e"}));
        check(&format!("{header}.{rest}"), "unsupported algorithm").await;
    }
    // An algorithm of another kind of key.
    check(&format!("{}.{rest}", encoded(&json!({"alg": "RS256", "kid": "e"}))), not_signed).await;
    let mut other = claims.clone();
    other["sub"] = json!("8");
    let signature = rest.split_once('.').unwrap().1;
    check(&format!("{head}.{}.{signature}", encoded(&other)), not_signed).await;
    check(&format!("{head}.{}.", encoded(&claims)), not_signed).await;
    other["exp"] = json!(1_000_000_000);
    check(&ec.sign("ES256", "e", &other), "oidc: token is expired").await;
    other["iss"] = json!("https://other");
    assert_eq!(refused(&by, &ec.sign("ES256", "e", &other)).await, "invalid bearer token");
    for nothing in ["", "a", "a.b", "a.b.c", "..", "e30.e30."] {
        assert_eq!(refused(&by, nothing).await, "invalid bearer token", "{nothing}");
    }
    assert!(by.owner("x", &["them".to_owned()], SystemTime::now()).await.is_err());
    assert_eq!(issuer.asked.load(Ordering::Relaxed), 1, "it is not asked for every token that is no good");
}

#[tokio::test]
async fn new_keys_are_asked_for_and_a_silent_issuer_holds_up_nobody_else() {
    let issuer = Issuer::start().await;
    let (old, new) = (Key::ec(), Key::ec());
    *issuer.keys.write() = json!({"keys": [old.jwk("1")]});
    let oidc = Oidc::new(issuer.options()).unwrap();
    let claims = issuer.claims();
    assert!(oidc.owner(&old.sign("ES256", "1", &claims), SystemTime::now()).await.is_ok());
    *issuer.keys.write() = json!({"keys": [new.jwk("2")]});
    let token = new.sign("ES256", "2", &claims);
    assert!(oidc.owner(&token, SystemTime::now()).await.is_err(), "it was asked a moment ago");
    *oidc.0.asked.lock().await = None;
    assert!(oidc.owner(&token, SystemTime::now()).await.is_ok());
    assert!(oidc.owner(&old.sign("ES256", "1", &claims), SystemTime::now()).await.is_err());

    // Nobody answers there any more.
    let closed = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    let silent = format!("https://{closed}");
    let options = OidcOptions { issuer_url: silent.clone(), ..issuer.options() };
    let tokens = crate::authn::TokenFile::parse("secret,ann,1\n").unwrap();
    let by = Authenticators::new(Some(tokens)).with_oidc(Oidc::new(options).unwrap());
    let of_silent = json!({"iss": silent, "aud": "us", "sub": "7", "exp": 4_000_000_000_i64});
    let why = refused(&by, &old.sign("ES256", "1", &of_silent)).await;
    assert!(why.contains("oidc: authenticator not initialized"), "{why}");
    assert_eq!(by.owner("secret", &[], SystemTime::now()).await.unwrap().identity.user, "ann");
    assert_eq!(refused(&by, "unknown").await, Refused::Token.to_string());
}

#[tokio::test]
async fn an_issuer_has_to_be_who_it_says() {
    let issuer = Issuer::start().await;
    let key = Key::ec();
    *issuer.keys.write() = json!({"keys": [key.jwk("1")]});
    // Another name of the same place is another issuer.
    let url = issuer.url.replace("/realm", "/realm/");
    let other = Oidc::new(OidcOptions { issuer_url: url.clone(), ..issuer.options() }).unwrap();
    let mut claims = issuer.claims();
    claims["iss"] = json!(url);
    assert!(other.owner(&key.sign("ES256", "1", &claims), SystemTime::now()).await.is_err());
    // One of another authority is not listened to.
    let stranger = Issuer::start().await;
    let misled = OidcOptions { ca_file: Some(stranger.ca.path().to_owned()), ..issuer.options() };
    let misled = Oidc::new(misled).unwrap();
    assert!(misled.owner(&key.sign("ES256", "1", &issuer.claims()), SystemTime::now()).await.is_err());
    assert_eq!(issuer.asked.load(Ordering::Relaxed), 0);
    for bad in ["http://x", "x", "https://", "https://x?a", "https://x#a"] {
        let options = OidcOptions { issuer_url: bad.to_owned(), ..issuer.options() };
        assert!(matches!(Oidc::new(options), Err(OidcError::Url(_))), "{bad}");
    }
    let options = OidcOptions { ca_file: Some("/nowhere".into()), ..issuer.options() };
    assert!(matches!(Oidc::new(options), Err(OidcError::Unreadable { .. })));
}
