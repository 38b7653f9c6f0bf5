//! Bootstrap tokens, by which machines join a cluster: what they look like, what the Secrets that keep them say, and how what
//! the cluster says of itself is signed with them.
//!
//! A token is `ID.SECRET`. The ID is public, and names the Secret; the secret is known to whoever was given the token. What
//! always holds: of a Secret that cannot be read in every part, nothing is believed; a time of expiry that is none has
//! passed. The formats are upstream's (`k8s.io/cluster-bootstrap`).

use std::collections::BTreeSet;
use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hmac::{Hmac, Mac};
use jiff::Timestamp;
use k8s_openapi::api::core::v1::Secret;
use sha2::Sha256;

/// The type of the Secrets that keep tokens.
pub const SECRET_TYPE: &str = "bootstrap.kubernetes.io/token";
/// Where they are.
pub const NAMESPACE: &str = "kube-system";
/// What their names begin with; the ID follows.
pub const NAME_PREFIX: &str = "bootstrap-token-";

/// The key of the ID in a Secret.
pub const ID: &str = "token-id";
/// The key of the secret.
pub const SECRET: &str = "token-secret";
/// The key of when the token is of no use any more, in RFC 3339.
pub const EXPIRATION: &str = "expiration";
/// The key of what the token is for, in people's words.
pub const DESCRIPTION: &str = "description";
/// The key of the groups that its holder is in, with commas in between.
pub const EXTRA_GROUPS: &str = "auth-extra-groups";
/// What the keys begin with that say what the token may be used for, if their value is `true`.
pub const USAGE_PREFIX: &str = "usage-bootstrap-";

/// The usage of tokens by which their holders are known to the API server.
pub const AUTHENTICATION: &str = "authentication";
/// The usage of tokens with which the cluster's word about itself is signed.
pub const SIGNING: &str = "signing";

/// The group of everybody who has a token.
pub const BOOTSTRAPPERS: &str = "system:bootstrappers";
/// The group of those whose tokens are for joining, as kubeadm names it.
pub const JOINING: &str = "system:bootstrappers:kubeadm:default-node-token";
/// What the name of a token's user begins with; the ID follows.
pub const USER_PREFIX: &str = "system:bootstrap:";

/// The namespace of the ConfigMap in which the cluster tells strangers where it is.
pub const CLUSTER_INFO_NAMESPACE: &str = "kube-public";
/// Its name.
pub const CLUSTER_INFO: &str = "cluster-info";
/// The key of the kubeconfig in it.
pub const KUBECONFIG: &str = "kubeconfig";
/// What the keys of the signatures in it begin with; the ID follows.
pub const SIGNATURE_PREFIX: &str = "jws-kubeconfig-";

const ID_LENGTH: usize = 6;
const SECRET_LENGTH: usize = 16;
/// The most characters of a group behind the name of the group of all.
const MOST_OF_GROUP: usize = 256;

/// A token.
#[derive(Clone, PartialEq, Eq)]
pub struct Token {
    id: String,
    secret: String,
}

/// A text that is no token.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a token is six lower-case letters or digits, a dot, and sixteen more")]
pub struct Malformed;

impl fmt::Debug for Token {
    /// Without the secret.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Token").field("id", &self.id).finish_non_exhaustive()
    }
}

impl FromStr for Token {
    type Err = Malformed;

    fn from_str(text: &str) -> Result<Token, Malformed> {
        let (id, secret) = text.split_once('.').ok_or(Malformed)?;
        if is_id(id) && is_of(secret, SECRET_LENGTH) {
            Ok(Token { id: id.to_owned(), secret: secret.to_owned() })
        } else {
            Err(Malformed)
        }
    }
}

impl Token {
    /// A token of random bytes, of which each makes a character.
    #[must_use]
    pub fn from_random(mut bytes: impl FnMut() -> u8) -> Token {
        const CHARACTERS: &[u8; 36] = b"abcdefghijklmnopqrstuvwxyz0123456789";
        let most = u8::MAX - u8::MAX % 36;
        let mut text = |length: usize| {
            let mut text = String::with_capacity(length);
            while text.len() < length {
                // What is left over would make some characters likelier than others.
                let byte = bytes();
                if byte < most {
                    text.push(char::from(CHARACTERS[usize::from(byte % 36)]));
                }
            }
            text
        };
        let id = text(ID_LENGTH);
        Token { id, secret: text(SECRET_LENGTH) }
    }

    /// What everybody may know of it.
    #[must_use]
    pub fn id(&self) -> &str {
        &self.id
    }

    /// What only its holder and the cluster may know.
    #[must_use]
    pub fn secret(&self) -> &str {
        &self.secret
    }

    /// The whole token, as it is given to somebody.
    #[must_use]
    pub fn reveal(&self) -> String {
        format!("{}.{}", self.id, self.secret)
    }
}

fn is_of(text: &str, length: usize) -> bool {
    text.len() == length && text.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit())
}

/// Whether a text is the ID of a token.
#[must_use]
pub fn is_id(text: &str) -> bool {
    is_of(text, ID_LENGTH)
}

/// Whether the holder of a token can be in a group of this name.
#[must_use]
pub fn is_group(name: &str) -> bool {
    let Some(rest) = name.strip_prefix(BOOTSTRAPPERS).and_then(|rest| rest.strip_prefix(':')) else { return false };
    let is_known = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || matches!(byte, b':' | b'-');
    let ends_well = rest.bytes().last().is_some_and(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit());
    rest.len() <= MOST_OF_GROUP && ends_well && rest.bytes().all(is_known)
}

/// How long a token is of use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Expiry {
    /// For ever.
    Never,
    /// For so long.
    In(Duration),
    /// No longer; or it says so in a way that nobody understands.
    Passed,
}

/// The bytes of a key of a Secret; none if it has no such key.
#[must_use]
pub fn data<'a>(secret: &'a Secret, key: &str) -> &'a [u8] {
    secret.data.as_ref().and_then(|data| data.get(key)).map_or(&[], |value| value.0.as_slice())
}

/// How long the token of a Secret is of use.
#[must_use]
pub fn expiry(secret: &Secret, now: Timestamp) -> Expiry {
    let stated = data(secret, EXPIRATION);
    if stated.is_empty() {
        return Expiry::Never;
    }
    let Some(end) = std::str::from_utf8(stated).ok().and_then(time) else { return Expiry::Passed };
    match Duration::try_from(end.duration_since(now)) {
        Ok(left) if !left.is_zero() => Expiry::In(left),
        _ => Expiry::Passed,
    }
}

/// A time of RFC 3339, written as strictly as Go wants it.
#[must_use]
pub fn time(text: &str) -> Option<Timestamp> {
    const SHAPE: &[u8] = b"0000-00-00T00:00:00";
    let bytes = text.as_bytes();
    let fits = |byte: u8, shape: u8| if shape == b'0' { byte.is_ascii_digit() } else { byte == shape };
    let (front, rest) = bytes.split_at_checked(SHAPE.len())?;
    if !front.iter().zip(SHAPE).all(|(byte, shape)| fits(*byte, *shape)) || &front[17..] == b"60" {
        return None;
    }
    let fraction = match rest.first()? {
        b'.' | b',' => 1 + rest[1..].iter().take_while(|byte| byte.is_ascii_digit()).count(),
        _ => 0,
    };
    let zone = &rest[fraction..];
    let is_zone = match zone {
        b"Z" => true,
        [b'+' | b'-', offset @ ..] => {
            offset.len() == 5 && offset.iter().zip(b"00:00").all(|(byte, shape)| fits(*byte, *shape))
        }
        _ => false,
    };
    if fraction == 1 || !is_zone {
        return None;
    }
    text.parse().ok()
}

/// Whether the token of a Secret may be used for something.
#[must_use]
pub fn is_for(secret: &Secret, usage: &str) -> bool {
    data(secret, &format!("{USAGE_PREFIX}{usage}")) == b"true"
}

/// The groups of the holder of a Secret's token, in order; `None` if it names one that cannot be.
#[must_use]
pub fn groups(secret: &Secret) -> Option<Vec<String>> {
    let stated = std::str::from_utf8(data(secret, EXTRA_GROUPS)).ok()?;
    let mut groups: BTreeSet<String> = [BOOTSTRAPPERS.to_owned()].into();
    if !stated.is_empty() {
        for group in stated.split(',') {
            if !is_group(group) {
                return None;
            }
            groups.insert(group.to_owned());
        }
    }
    Some(groups.into_iter().collect())
}

/// The ID and the secret of a Secret's token, if the cluster's word is to be signed with it now.
#[must_use]
pub fn for_signing(secret: &Secret, now: Timestamp) -> Option<(&str, &str)> {
    let named = secret.metadata.name.as_deref()?.strip_prefix(NAME_PREFIX).filter(|id| is_id(id))?;
    let id = std::str::from_utf8(data(secret, ID)).ok()?;
    let key = std::str::from_utf8(data(secret, SECRET)).ok().filter(|key| !key.is_empty())?;
    let is_good = secret.type_.as_deref() == Some(SECRET_TYPE)
        && id == named
        && expiry(secret, now) != Expiry::Passed
        && is_for(secret, SIGNING);
    is_good.then_some((id, key))
}

/// The start of a signature, and the code of the content.
fn code(content: &str, id: &str, key: &str) -> Option<(String, Hmac<Sha256>)> {
    // The ID of a token needs no escapes.
    let header = URL_SAFE_NO_PAD.encode(format!("{{\"alg\":\"HS256\",\"kid\":\"{id}\"}}"));
    let mut code = Hmac::<Sha256>::new_from_slice(key.as_bytes()).ok()?;
    code.update(header.as_bytes());
    code.update(b".");
    code.update(URL_SAFE_NO_PAD.encode(content).as_bytes());
    Some((header, code))
}

/// The signature of `content` by the token with this ID and secret: a JWS (RFC 7515) with HS256 whose content is left out.
#[must_use]
pub fn sign(content: &str, id: &str, key: &str) -> String {
    // HMAC takes keys of any length.
    code(content, id, key).map_or_else(String::new, |(header, code)| {
        format!("{header}..{}", URL_SAFE_NO_PAD.encode(code.finalize().into_bytes()))
    })
}

/// Whether `signature` is that of `content` by this token. How long it takes tells nothing of how near it comes.
#[must_use]
pub fn is_signed(signature: &str, content: &str, token: &Token) -> bool {
    let Some((header, code)) = code(content, &token.id, &token.secret) else { return false };
    let stated = signature.strip_prefix(&header).and_then(|rest| rest.strip_prefix(".."));
    let stated = stated.and_then(|stated| URL_SAFE_NO_PAD.decode(stated).ok());
    stated.is_some_and(|stated| code.verify_slice(&stated).is_ok())
}

#[cfg(test)]
mod tests {
    use k8s_openapi::ByteString;
    use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;

    use super::*;

    const NOON: Timestamp = Timestamp::constant(1_772_366_400, 0);

    fn secret(data: &[(&str, &str)]) -> Secret {
        let value = |(key, value): &(&str, &str)| ((*key).to_owned(), ByteString(value.as_bytes().to_vec()));
        Secret {
            metadata: ObjectMeta { name: Some("bootstrap-token-abcdef".to_owned()), ..ObjectMeta::default() },
            type_: Some(SECRET_TYPE.to_owned()),
            data: Some(data.iter().map(value).collect()),
            ..Secret::default()
        }
    }

    #[test]
    fn tokens_are_read_strictly() {
        let good = "abcdef.0123456789abcdef";
        let token: Token = good.parse().unwrap();
        assert_eq!((token.id(), token.secret()), ("abcdef", "0123456789abcdef"));
        assert_eq!(token.reveal(), good);
        assert!(!format!("{token:?}").contains("0123"), "{token:?}");
        for bad in [
            "",
            ".",
            "abcdef",
            "abcdef.",
            "abcdef.0123456789abcde",
            "abcdef.0123456789abcdef0",
            "abcdeF.0123456789abcdef",
            "abcde.00123456789abcdef",
            "abcdef.0123456789abcde\n",
            " abcdef.0123456789abcdef",
            "abcdef.0123456789abcdef.",
            "abcdé.0123456789abcdef",
        ] {
            assert_eq!(bad.parse::<Token>(), Err(Malformed), "{bad:?}");
        }
    }

    #[test]
    fn tokens_are_made_of_random_bytes() {
        let mut next = 0_u8;
        let token = Token::from_random(|| {
            next = next.wrapping_sub(1);
            next
        });
        // 255 to 252 are left over; 251 is the last of the characters.
        assert_eq!(token.reveal(), "987654.3210zyxwvutsrqpo");
        assert_eq!(token.reveal().parse(), Ok(token));
    }

    #[test]
    fn groups_are_those_of_bootstrappers() {
        let check = |name: &str, expected: bool| assert_eq!(is_group(name), expected, "{name}");
        check(JOINING, true);
        check("system:bootstrappers:a", true);
        check("system:bootstrappers:a:-:0", true);
        check(&format!("system:bootstrappers:{}", "a".repeat(256)), true);
        check(&format!("system:bootstrappers:{}", "a".repeat(257)), false);
        for name in [
            "",
            "system:masters",
            BOOTSTRAPPERS,
            "system:bootstrappers:",
            "system:bootstrappers:a:",
            "system:bootstrappersa",
        ] {
            check(name, false);
        }
        check("system:bootstrappers:A", false);
        check("system:bootstrappers:a\n", false);

        let check = |stated: &str, expected: Option<&[&str]>| {
            let found = groups(&secret(&[(EXTRA_GROUPS, stated)]));
            assert_eq!(found, expected.map(|it| it.iter().map(|it| (*it).to_owned()).collect()), "{stated}");
        };
        check("", Some(&[BOOTSTRAPPERS]));
        check("system:bootstrappers:b,system:bootstrappers:a,system:bootstrappers:b", {
            Some(&[BOOTSTRAPPERS, "system:bootstrappers:a", "system:bootstrappers:b"])
        });
        check("system:bootstrappers:a,system:masters", None);
        check("system:bootstrappers:a,", None);
        check("system:bootstrappers:a, system:bootstrappers:b", None);
    }

    #[test]
    fn a_time_that_cannot_be_read_has_passed() {
        let check = |stated: &str, expected: Expiry| {
            assert_eq!(expiry(&secret(&[(EXPIRATION, stated)]), NOON), expected, "{stated}");
        };
        check("", Expiry::Never);
        check("2026-03-01T12:00:01Z", Expiry::In(Duration::from_secs(1)));
        check("2026-03-01T14:00:01+02:00", Expiry::In(Duration::from_secs(1)));
        check("2026-03-01T12:00:00.5Z", Expiry::In(Duration::from_millis(500)));
        for passed in ["2026-03-01T12:00:00Z", "2026-03-01T11:59:59Z", "2026-03-01T12:00:01+02:00"] {
            check(passed, Expiry::Passed);
        }
        for unreadable in [
            "soon",
            "2027-03-01",
            "2027-03-01 12:00:00Z",
            "2027-03-01T12:00:00",
            "2027-03-01T12:00:00z",
            "2027-03-01T12:00:60Z",
            "2027-03-01T12:00:00.Z",
            "2027-03-01T12:00:00+0200",
            "2027-03-01T12:00:00Z[UTC]",
            "2027-13-01T12:00:00Z",
            " 2027-03-01T12:00:00Z",
        ] {
            check(unreadable, Expiry::Passed);
        }
    }

    #[test]
    fn only_tokens_that_are_good_in_every_part_sign() {
        const GOOD: [(&str, &str); 3] = [(ID, "abcdef"), (SECRET, "key"), ("usage-bootstrap-signing", "true")];
        assert_eq!(for_signing(&secret(&GOOD), NOON), Some(("abcdef", "key")));
        let check = |key: &str, value: &str| {
            let mut bad = secret(&GOOD);
            bad.data.as_mut().unwrap().insert(key.to_owned(), ByteString(value.as_bytes().to_vec()));
            assert_eq!(for_signing(&bad, NOON), None, "{key}: {value}");
        };
        check(ID, "");
        check(ID, "abcdeg");
        check(SECRET, "");
        check("usage-bootstrap-signing", "True");
        check(EXPIRATION, "2026-03-01T12:00:00Z");
        let change = |change: fn(&mut Secret)| {
            let mut bad = secret(&GOOD);
            change(&mut bad);
            assert_eq!(for_signing(&bad, NOON), None);
        };
        change(|secret| secret.type_ = Some("Opaque".to_owned()));
        change(|secret| secret.metadata.name = Some("token-abcdef".to_owned()));
        change(|secret| secret.data = None);
    }

    #[test]
    fn signatures_are_as_upstreams() {
        let check = |content: &str, key: &str, expected: &str| {
            assert_eq!(sign(content, "joshua", key), format!("eyJhbGciOiJIUzI1NiIsImtpZCI6Impvc2h1YSJ9..{expected}"));
        };
        let content = "Hello from the other side. I must have called a thousand times.";
        check(content, "my voice is my passcode", "VShe2taLd-YTrmWuRkcL_8QTNDHYxQIEBsAYYiIj1_8");
        check("", "my voice is my passcode", "7Ui1ALizW4jXphVUB7xUqC9vLYLL9RZeOFfVLoB7Tgk");
        check(content, "", "UfkqvDGiIFxrMnFseDj9LYJOLNrvjW8aHhF71mvvAs8");
    }

    #[test]
    fn signatures_of_others_are_refused() {
        let token: Token = "abcdef.0123456789abcdef".parse().unwrap();
        let good = sign("content", "abcdef", "0123456789abcdef");
        assert!(is_signed(&good, "content", &token));
        assert!(!is_signed(&good, "Content", &token));
        assert!(!is_signed(&sign("content", "abcdef", "0123456789abcdeg"), "content", &token));
        assert!(!is_signed(&sign("content", "abcdeg", "0123456789abcdef"), "content", &token));
        for bad in ["", "..", &good[1..], &good[..good.len() - 1], &format!("{good}A"), &good.replace("..", ".x.")] {
            assert!(!is_signed(bad, "content", &token), "{bad}");
        }
    }
}
