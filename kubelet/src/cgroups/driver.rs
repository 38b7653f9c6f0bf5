//! Who makes cgroups, as the runtime has it: the agent has to agree with it.

use serde_json::Value;
use tonic::Code;

use super::Driver;
use crate::cri::{Answer, Cri, v1};

impl Driver {
    /// Who makes cgroups where this runtime runs containers. Runtimes that cannot be asked for it, such as containerd before
    /// 2.0, are asked for their configuration; if that does not say either, it is whoever needs one.
    ///
    /// # Errors
    /// If the runtime does not answer.
    pub async fn of_runtime(cri: &Cri) -> Answer<Driver> {
        match cri.runtime_config(v1::RuntimeConfigRequest::default()).await {
            Ok(answer) => Ok(of_answer(&answer)),
            Err(status) if status.code() == Code::Unimplemented => {
                let status = cri.status(v1::StatusRequest { verbose: true }).await?;
                Ok(status.info.get("config").map_or_else(Driver::default, |config| of_configuration(config)))
            }
            Err(status) => Err(status),
        }
    }
}

fn of_answer(answer: &v1::RuntimeConfigResponse) -> Driver {
    match answer.linux.as_ref().map(v1::LinuxRuntimeConfiguration::cgroup_driver) {
        Some(v1::CgroupDriver::Systemd) => Driver::Systemd,
        Some(v1::CgroupDriver::Cgroupfs) | None => Driver::Cgroupfs,
    }
}

/// What containerd adds to its status. The handler that runs pods unless they name another decides: all have to agree.
fn of_configuration(config: &str) -> Driver {
    let says = || {
        let config: Value = serde_json::from_str(config).ok()?;
        let containerd = config.get("containerd")?;
        let handler = containerd.get("defaultRuntimeName")?.as_str()?;
        containerd.get("runtimes")?.get(handler)?.get("options")?.get("SystemdCgroup")?.as_bool()
    };
    if says() == Some(true) { Driver::Systemd } else { Driver::Cgroupfs }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn runtimes_say_who_makes_cgroups() {
        let check = |driver: Option<v1::CgroupDriver>, expected: Driver| {
            let linux = driver.map(|driver| v1::LinuxRuntimeConfiguration { cgroup_driver: driver.into() });
            assert_eq!(of_answer(&v1::RuntimeConfigResponse { linux }), expected);
        };
        check(Some(v1::CgroupDriver::Systemd), Driver::Systemd);
        check(Some(v1::CgroupDriver::Cgroupfs), Driver::Cgroupfs);
        check(None, Driver::Cgroupfs);
    }

    #[test]
    fn configurations_say_who_makes_cgroups() {
        let config = |systemd: &str, default: &str| {
            format!(
                r#"{{"containerd": {{"defaultRuntimeName": "{default}", "runtimes": {{"runc": {{"options":
                {{"SystemdCgroup": {systemd}}}}}, "kata": {{"options": {{}}}}}}}}}}"#
            )
        };
        assert_eq!(of_configuration(&config("true", "runc")), Driver::Systemd);
        assert_eq!(of_configuration(&config("false", "runc")), Driver::Cgroupfs);
        assert_eq!(of_configuration(&config("true", "kata")), Driver::Cgroupfs);
        assert_eq!(of_configuration("{}"), Driver::Cgroupfs);
        assert_eq!(of_configuration("no JSON"), Driver::Cgroupfs);
    }
}
