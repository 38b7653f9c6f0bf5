//! Security contexts as messages show them, which is by the names of their Go fields.

use api::field::BadValue;
use k8s_openapi::api::core::v1::SecurityContext;
use serde::Serialize;

use super::absent::text;
use super::profiles;

/// A container's security context.
pub(super) fn security_context(context: &SecurityContext) -> BadValue {
    BadValue::json(&Shown {
        capabilities: context.capabilities.as_ref().map(|capabilities| Capabilities {
            add: capabilities.add.as_deref().filter(|add| !add.is_empty()),
            drop: capabilities.drop.as_deref().filter(|drop| !drop.is_empty()),
        }),
        privileged: context.privileged,
        se_linux_options: context.se_linux_options.as_ref().map(|options| SeLinux {
            user: text(&options.user),
            role: text(&options.role),
            r#type: text(&options.type_),
            level: text(&options.level),
        }),
        windows_options: context.windows_options.as_ref().map(|options| Windows {
            credential_spec_name: options.gmsa_credential_spec_name.as_deref(),
            credential_spec: options.gmsa_credential_spec.as_deref(),
            run_as_user_name: options.run_as_user_name.as_deref(),
            host_process: options.host_process,
        }),
        run_as_user: context.run_as_user,
        run_as_group: context.run_as_group,
        run_as_non_root: context.run_as_non_root,
        read_only_root_filesystem: context.read_only_root_filesystem,
        allow_privilege_escalation: context.allow_privilege_escalation,
        proc_mount: context.proc_mount.as_deref(),
        seccomp_profile: context.seccomp_profile.as_ref().map(profiles::Shown::from),
        app_armor_profile: context.app_armor_profile.as_ref().map(profiles::Shown::from),
    })
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Shown<'a> {
    capabilities: Option<Capabilities<'a>>,
    privileged: Option<bool>,
    #[serde(rename = "SELinuxOptions")]
    se_linux_options: Option<SeLinux<'a>>,
    windows_options: Option<Windows<'a>>,
    run_as_user: Option<i64>,
    run_as_group: Option<i64>,
    run_as_non_root: Option<bool>,
    read_only_root_filesystem: Option<bool>,
    allow_privilege_escalation: Option<bool>,
    proc_mount: Option<&'a str>,
    seccomp_profile: Option<profiles::Shown<'a>>,
    app_armor_profile: Option<profiles::Shown<'a>>,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Capabilities<'a> {
    add: Option<&'a [String]>,
    drop: Option<&'a [String]>,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct SeLinux<'a> {
    user: &'a str,
    role: &'a str,
    r#type: &'a str,
    level: &'a str,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Windows<'a> {
    #[serde(rename = "GMSACredentialSpecName")]
    credential_spec_name: Option<&'a str>,
    #[serde(rename = "GMSACredentialSpec")]
    credential_spec: Option<&'a str>,
    run_as_user_name: Option<&'a str>,
    host_process: Option<bool>,
}
