//! How a cluster is, for people. Pure.

use std::fmt::Write;
use std::path::Path;

use super::{Report, Word};

/// From how few days on it is said loudly that a certificate becomes invalid.
const SOON: i64 = 30;

/// A line for each thing that is known.
pub(super) fn text(report: &Report) -> String {
    let mut page = String::new();
    let directory = report.data_directory.display();
    let headline = match report.status {
        Word::Ready => "the cluster runs and is ready".to_owned(),
        Word::NotReady => "the cluster runs and is not ready".to_owned(),
        Word::Starting => "the cluster starts".to_owned(),
        Word::Ending => "the cluster ends".to_owned(),
        Word::Stopped => format!("no cluster runs in {directory}"),
    };
    add(&mut page, &headline);
    report.problems.iter().for_each(|problem| add(&mut page, &format!("  ! {problem}")));
    if report.status == Word::Stopped {
        report.log.iter().for_each(|log| add(&mut page, &format!("  its log is {}", log.display())));
        return page;
    }
    let mut line = |name: &str, value: Option<String>| {
        if let Some(value) = value {
            add(&mut page, &format!("{:<14}{value}", format!("{name}:")));
        }
    };
    let path = |path: &Option<std::path::PathBuf>| path.as_deref().map(Path::display).map(|path| path.to_string());
    line("Version", report.version.clone());
    line("Process", report.pid.map(|pid| pid.to_string()));
    let seconds = report.uptime_seconds.map(|seconds| i64::try_from(seconds).unwrap_or(i64::MAX));
    line("Uptime", seconds.map(api::duration::human));
    line("Memory", report.memory_bytes.map(bytes));
    line("URL", report.url.clone());
    line("KUBECONFIG", path(&report.kubeconfig));
    let size =
        |size: super::files::Size| format!("{}{}", if size.is_all { "" } else { "more than " }, bytes(size.bytes));
    let size = report.data_bytes.map(|it| format!(" ({})", size(it))).unwrap_or_default();
    line("Data", Some(format!("{directory}{size}")));
    line("Store", report.store.clone());
    line("Nodes", report.nodes.map(|nodes| format!("{} of {} ready", nodes.ready, nodes.total)));
    line("Pods", report.pods.map(|pods| format!("{} of {} running", pods.running, pods.total)));
    line("Certificates", report.certificate.as_ref().map(certificate));
    line("Log", Some(path(&report.log).unwrap_or_else(|| "standard error of the process".to_owned())));
    page
}

fn certificate(certificate: &super::files::Certificate) -> String {
    let (path, expires, days) = (certificate.path.display(), &certificate.expires, certificate.days_left);
    match days {
        ..0 => format!("{path} is not valid any more, since {expires}"),
        0..SOON => format!("{path} is valid only until {expires}, for {days} more days"),
        _ => format!("valid until {expires} or longer, for {days} more days"),
    }
}

fn add(page: &mut String, line: &str) {
    // Writing to a string does not fail.
    let _ = writeln!(page, "{line}");
}

/// An amount, with three digits or so.
pub(super) fn bytes(amount: u64) -> String {
    const UNITS: [&str; 5] = ["B", "KiB", "MiB", "GiB", "TiB"];
    let (mut whole, mut tenths, mut unit) = (amount, 0, 0);
    while whole >= 1024 && unit + 1 < UNITS.len() {
        tenths = whole % 1024 * 10 / 1024;
        whole /= 1024;
        unit += 1;
    }
    if whole < 10 && unit > 0 {
        format!("{whole}.{tenths} {}", UNITS[unit])
    } else {
        format!("{whole} {}", UNITS[unit])
    }
}

#[cfg(test)]
mod tests {
    use super::super::files::{Certificate, Size};
    use super::super::{Nodes, Pods};
    use super::*;

    #[test]
    fn amounts_are_short() {
        let check = |amount: u64, expected: &str| assert_eq!(bytes(amount), expected);
        check(0, "0 B");
        check(1023, "1023 B");
        check(1024, "1.0 KiB");
        check(1024 * 1024 * 3 / 2, "1.5 MiB");
        check(300 << 20, "300 MiB");
        check(5 << 40, "5.0 TiB");
    }

    fn full() -> Report {
        Report {
            status: Word::Ready,
            version: Some("1".to_owned()),
            pid: Some(7),
            uptime_seconds: Some(200),
            memory_bytes: Some(90 << 20),
            url: Some("https://here".to_owned()),
            kubeconfig: Some("/d/admin.kubeconfig".into()),
            data_directory: "/d".into(),
            data_bytes: Some(Size { bytes: 2 << 20, is_all: false }),
            store: Some("embedded".to_owned()),
            nodes: Some(Nodes { ready: 1, total: 2 }),
            pods: Some(Pods { running: 3, total: 4 }),
            certificate: Some(Certificate { path: "/d/pki/a.crt".into(), expires: "then".to_owned(), days_left: 300 }),
            log: Some("/d/gantry.log".into()),
            ..Report::default()
        }
    }

    #[test]
    fn everything_has_its_line() {
        let expected = "the cluster runs and is ready\n\
                        Version:      1\n\
                        Process:      7\n\
                        Uptime:       3m20s\n\
                        Memory:       90 MiB\n\
                        URL:          https://here\n\
                        KUBECONFIG:   /d/admin.kubeconfig\n\
                        Data:         /d (more than 2.0 MiB)\n\
                        Store:        embedded\n\
                        Nodes:        1 of 2 ready\n\
                        Pods:         3 of 4 running\n\
                        Certificates: valid until then or longer, for 300 more days\n\
                        Log:          /d/gantry.log\n";
        assert_eq!(text(&full()), expected);
    }

    #[test]
    fn what_is_wrong_comes_first() {
        let check = |report: Report, expected: &str| {
            let text = text(&report);
            assert!(text.starts_with(expected), "{text}");
        };
        let problems = vec!["a".to_owned(), "b".to_owned()];
        check(
            Report { status: Word::NotReady, problems: problems.clone(), ..full() },
            "the cluster runs and is not ready\n  ! a\n  ! b\nVersion",
        );
        check(Report { status: Word::Starting, ..full() }, "the cluster starts\nVersion");
        check(Report { status: Word::Ending, ..full() }, "the cluster ends\nVersion");
        let expected = "no cluster runs in /d\n  ! a\n  ! b\n  its log is /d/gantry.log\n";
        check(Report { status: Word::Stopped, problems, ..full() }, expected);
        for (days_left, words) in [(-1, "is not valid any more"), (0, "is valid only until"), (29, "for 29 more")] {
            let certificate = full().certificate.map(|it| Certificate { days_left, ..it });
            assert!(text(&Report { certificate, ..full() }).contains(words), "{days_left}");
        }
    }
}
