//! What only Windows has: credentials, user names and containers that are processes of the host.

use api::field::{Error, ErrorList, Path};
use api::names;
use k8s_openapi::api::core::v1::{PodSpec, WindowsSecurityContextOptions};

use super::absent::is_true;
use super::containers;
use super::rules::named;

const MAX_CREDENTIAL_SPEC_KIB: usize = 64;
const MAX_DOMAIN_BYTES: usize = 256;
const MAX_USER_BYTES: usize = 104;
const MAX_NET_BIOS_CHARACTERS: usize = 15;
const MAX_DNS_LABEL_BYTES: usize = 63;
const NET_BIOS_FORBIDDEN: &[char] = &['\\', '/', ':', '*', '?', '"', '<', '>', '|'];
const USER_FORBIDDEN: &[char] = &['"', '/', '\\', ':', ';', '|', '=', ',', '+', '*', '?', '<', '>', '@', '[', ']'];

pub(super) fn validate_options(options: &WindowsSecurityContextOptions, path: &Path) -> ErrorList {
    let mut errors = ErrorList::new();
    if let Some(name) = &options.gmsa_credential_spec_name {
        errors.extend(named(name, names::dns1123_subdomain(name), &path.child("gmsaCredentialSpecName")));
    }
    if let Some(spec) = &options.gmsa_credential_spec {
        let path = path.child("gmsaCredentialSpec");
        if spec.is_empty() {
            errors.push(Error::invalid(&path, spec, "gmsaCredentialSpec cannot be an empty string"));
        } else if spec.len() > MAX_CREDENTIAL_SPEC_KIB * 1024 {
            let detail = format!("gmsaCredentialSpec size must be under {MAX_CREDENTIAL_SPEC_KIB} KiB");
            errors.push(Error::invalid(&path, spec, detail));
        }
    }
    if let Some(name) = &options.run_as_user_name {
        let path = path.child("runAsUserName");
        let messages = user_name_messages(name).into_iter().map(|message| format!("runAsUserName{message}"));
        errors.push_invalid(&path, name, messages);
    }
    errors
}

/// That all containers are processes of the host, or none.
pub(super) fn validate_host_process(spec: &PodSpec, path: &Path) -> ErrorList {
    let mut errors = ErrorList::new();
    let windows = spec.security_context.as_ref().and_then(|context| context.windows_options.as_ref());
    let of_pod = windows.and_then(|options| options.host_process);
    let (mut all, mut of_host) = (0, 0);
    for (path, container) in containers::each(spec, path) {
        all += 1;
        let windows = container.security_context.as_ref().and_then(|context| context.windows_options.as_ref());
        let own = windows.and_then(|options| options.host_process);
        if let (Some(of_pod), Some(own)) = (of_pod, own)
            && of_pod != own
        {
            let path = path.child("securityContext").child("windowsOptions").child("hostProcess");
            let detail = format!("pod hostProcess value must be identical if both are specified, was {of_pod}");
            errors.push(Error::invalid(&path, own, detail));
        }
        of_host += usize::from(is_true(own.or(of_pod)));
    }
    if of_host == 0 {
        return errors;
    }
    if of_host != all {
        let detail = "If pod contains any hostProcess containers then all containers must be HostProcess containers";
        errors.push(Error::invalid(path, "", detail));
    }
    if !is_true(spec.host_network) {
        let detail = "hostNetwork must be true if pod contains any hostProcess containers";
        errors.push(Error::invalid(&path.child("hostNetwork"), false, detail));
    }
    errors
}

/// What is wrong with `user` or `DOMAIN\user`, without the field's name that each message starts with.
fn user_name_messages(name: &str) -> Vec<String> {
    if name.is_empty() {
        return vec![" cannot be an empty string".to_owned()];
    }
    if name.bytes().any(|b| b.is_ascii_control()) {
        return vec![" cannot contain control characters".to_owned()];
    }
    let (domain, user) = match name.split_once('\\') {
        Some((_, rest)) if rest.contains('\\') => return vec![" cannot contain more than one backslash".to_owned()],
        Some((domain, user)) => (Some(domain), user),
        None => (None, name),
    };
    let mut messages = Vec::new();
    if let Some(domain) = domain {
        if domain.len() >= MAX_DOMAIN_BYTES {
            messages.push(format!("'s Domain length must be under {MAX_DOMAIN_BYTES} characters"));
        }
        if !is_net_bios_name(domain) && !is_dns_name(domain) {
            messages.push("'s Domain doesn't match the NetBios nor the DNS format".to_owned());
        }
    }
    if user.is_empty() {
        messages.push("'s User cannot be empty".to_owned());
    } else if user.len() > MAX_USER_BYTES {
        messages.push(format!("'s User length must not be longer than {MAX_USER_BYTES} characters"));
    }
    if !user.is_empty() && user.chars().all(|c| matches!(c, '.' | ' ')) {
        messages.push("'s User cannot contain only periods or spaces".to_owned());
    }
    if user.contains(USER_FORBIDDEN) {
        messages.push("'s User cannot contain the following characters: \"/\\:;|=,+*?<>@[]".to_owned());
    }
    messages
}

fn is_net_bios_name(domain: &str) -> bool {
    let length = domain.chars().count();
    (1..=MAX_NET_BIOS_CHARACTERS).contains(&length) && !domain.starts_with('.') && !domain.contains(NET_BIOS_FORBIDDEN)
}

fn is_dns_name(domain: &str) -> bool {
    domain.split('.').all(|label| {
        (1..=MAX_DNS_LABEL_BYTES).contains(&label.len())
            && label.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-')
            && !label.starts_with('-')
            && !label.ends_with('-')
    })
}
