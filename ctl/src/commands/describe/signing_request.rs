//! CertificateSigningRequests, with what is asked for: the name and the alternative names of the request inside.

use std::net::IpAddr;

use serde_json::Value;
use x509_parser::certification_request::X509CertificationRequest;
use x509_parser::extensions::{GeneralName, ParsedExtension};
use x509_parser::pem::Pem;
use x509_parser::prelude::FromDer;

use super::Subject;
use super::page::{Page, list, or_none, pairs, shown};

/// What a certificate's holder is called, in the order of the page: the number of the attribute below `2.5.4`, and its title.
const ATTRIBUTES: [(&str, &str); 7] = [
    ("2.5.4.10", "Organization"),
    ("2.5.4.11", "Organizational Unit"),
    ("2.5.4.6", "Country"),
    ("2.5.4.7", "Locality"),
    ("2.5.4.8", "Province"),
    ("2.5.4.9", "StreetAddress"),
    ("2.5.4.17", "PostalCode"),
];
const COMMON_NAME: &str = "2.5.4.3";
const SERIAL_NUMBER: &str = "2.5.4.5";

/// What a request for a certificate asks for.
#[derive(Debug, Default, PartialEq, Eq)]
struct Asked {
    /// Attributes of the name, each with its number.
    name: Vec<(String, String)>,
    dns: Vec<String>,
    mail: Vec<String>,
    uris: Vec<String>,
    addresses: Vec<String>,
}

/// A request.
pub(super) fn describe(page: &mut Page, subject: &Subject) {
    let request = &subject.object;
    let (meta, spec, status) = (&request["metadata"], &request["spec"], &request["status"]);
    page.field(0, "Name", &shown(&meta["name"]));
    page.field(0, "Labels", &or_none(pairs(&meta["labels"]).join(",")));
    page.field(0, "Annotations", &or_none(pairs(&meta["annotations"]).join(",")));
    page.created(request);
    page.field(0, "Requesting User", &shown(&spec["username"]));
    page.field_if(0, "Signer", &spec["signerName"]);
    if let Some(seconds) = spec["expirationSeconds"].as_i64() {
        page.field(0, "Requested Duration", &api::duration::human(seconds));
    }
    page.field(0, "Status", &decided(status));
    page.line(0, "Subject:");
    match asked(&spec["request"]) {
        Ok(asked) => contents(page, &asked),
        Err(why) => page.line(0, &format!("\t<the request cannot be read: {why}>")),
    }
    page.events(subject.events.as_deref());
}

/// What has been decided, and whether there is a certificate.
fn decided(status: &Value) -> String {
    let has = |kind: &str| list(&status["conditions"]).iter().any(|condition| condition["type"] == kind);
    let decision = match (has("Denied"), has("Approved")) {
        (true, _) => "Denied",
        (false, true) => "Approved",
        (false, false) => "Pending",
    };
    let failed = if has("Failed") { ",Failed" } else { "" };
    let issued = if shown(&status["certificate"]).is_empty() { "" } else { ",Issued" };
    format!("{decision}{failed}{issued}")
}

fn contents(page: &mut Page, asked: &Asked) {
    let all = |number: &str| -> Vec<String> {
        asked.name.iter().filter(|(of, _)| of == number).map(|(_, value)| value.clone()).collect()
    };
    for (title, number) in [("Common Name", COMMON_NAME), ("Serial Number", SERIAL_NUMBER)] {
        page.put(&format!("\t{title}:\t{}\n", all(number).pop().unwrap_or_default()));
    }
    for (number, title) in ATTRIBUTES {
        values(page, title, &all(number));
    }
    let names = [
        ("DNS Names", &asked.dns),
        ("Email Addresses", &asked.mail),
        ("URIs", &asked.uris),
        ("IP Addresses", &asked.addresses),
    ];
    if names.iter().any(|(_, names)| !names.is_empty()) {
        page.line(0, "Subject Alternative Names:");
    }
    names.iter().for_each(|(title, names)| values(page, title, names));
}

fn values(page: &mut Page, title: &str, values: &[String]) {
    if !values.is_empty() {
        page.put(&format!("\t{title}:\t{}\n", values.join("\n\t\t")));
    }
}

/// What the request in base64 of PEM asks for.
fn asked(request: &Value) -> Result<Asked, String> {
    let bytes =
        serde_json::from_value::<k8s_openapi::ByteString>(request.clone()).map_err(|error| error.to_string())?;
    let pem =
        Pem::iter_from_buffer(&bytes.0).next().ok_or("it has no PEM block")?.map_err(|error| error.to_string())?;
    let (_, request) = X509CertificationRequest::from_der(&pem.contents).map_err(|error| error.to_string())?;
    let mut asked = Asked::default();
    for attribute in request.certification_request_info.subject.iter_attributes() {
        let value = attribute
            .as_str()
            .map_or_else(|_| String::from_utf8_lossy(attribute.as_slice()).into_owned(), str::to_owned);
        asked.name.push((attribute.attr_type().to_id_string(), value));
    }
    let names = request.requested_extensions().into_iter().flatten().filter_map(|extension| match extension {
        ParsedExtension::SubjectAlternativeName(names) => Some(&names.general_names),
        _ => None,
    });
    for name in names.flatten() {
        match name {
            GeneralName::DNSName(name) => asked.dns.push((*name).to_owned()),
            GeneralName::RFC822Name(name) => asked.mail.push((*name).to_owned()),
            GeneralName::URI(uri) => asked.uris.push((*uri).to_owned()),
            GeneralName::IPAddress(bytes) => asked.addresses.extend(address(bytes)),
            _ => {}
        }
    }
    Ok(asked)
}

fn address(bytes: &[u8]) -> Option<String> {
    let address = match bytes.len() {
        4 => IpAddr::from(<[u8; 4]>::try_from(bytes).ok()?),
        _ => IpAddr::from(<[u8; 16]>::try_from(bytes).ok()?),
    };
    Some(address.to_canonical().to_string())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn decisions_are_told_in_a_word() {
        let check = |kinds: &[&str], certificate: &str, expected: &str| {
            let conditions: Vec<Value> = kinds.iter().map(|kind| json!({"type": kind})).collect();
            let status = json!({"conditions": conditions, "certificate": certificate});
            assert_eq!(decided(&status), expected, "{status}");
        };
        check(&[], "", "Pending");
        check(&["Approved"], "eA==", "Approved,Issued");
        check(&["Approved", "Failed"], "", "Approved,Failed");
        check(&["Approved", "Denied"], "", "Denied");
    }

    #[test]
    fn what_cannot_be_read_says_why() {
        let check = |request: Value, expected: &str| {
            let why = asked(&request).expect_err("it cannot be read");
            assert!(why.contains(expected), "{why}");
        };
        check(json!(""), "no PEM block");
        check(json!("eA=="), "no PEM block");
    }
}
