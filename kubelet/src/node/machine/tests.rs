//! Machines that are trees of files, and what their Nodes say.

use super::*;

/// A tree of files.
fn tree(files: &[(&str, &str)]) -> (tempfile::TempDir, Roots) {
    let directory = tempfile::tempdir().unwrap();
    for (path, text) in files {
        let path = directory.path().join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    }
    let roots = Roots { root: directory.path().into(), storage: directory.path().into() };
    (directory, roots)
}

const MACHINE: [(&str, &str); 8] = [
    ("proc/meminfo", "MemTotal:       16393244 kB\nMemFree:         1000000 kB\nSwapTotal:       2097148 kB\n"),
    ("proc/sys/kernel/osrelease", "6.1.0-13-amd64\n"),
    ("proc/sys/kernel/random/boot_id", "b1f2\n"),
    ("sys/devices/system/cpu/online", "0-3,6\n"),
    ("sys/kernel/mm/hugepages/hugepages-2048kB/nr_hugepages", "8\n"),
    ("sys/kernel/mm/hugepages/hugepages-1048576kB/nr_hugepages", "0\n"),
    ("etc/machine-id", "5a5a\n"),
    ("etc/os-release", "NAME=Debian\nPRETTY_NAME=\"Debian GNU/Linux 12 (bookworm)\"\n"),
];

#[test]
fn a_machine_is_what_its_files_say() {
    let (directory, roots) = tree(&MACHINE);
    let machine = Machine::read(&roots).unwrap();
    let expected = Machine {
        processors: 5,
        memory: 16_393_244 << 10,
        swap: 2_097_148 << 10,
        huge_pages: BTreeMap::from([(2 << 20, 16 << 20), (1 << 30, 0)]),
        storage: machine.storage,
        machine_id: "5a5a".to_owned(),
        system_uuid: "5a5a".to_owned(),
        boot_id: "b1f2".to_owned(),
        kernel: "6.1.0-13-amd64".to_owned(),
        os_image: "Debian GNU/Linux 12 (bookworm)".to_owned(),
    };
    assert_eq!(machine, expected);
    assert!(machine.storage > 0);
    let uuid = directory.path().join("sys/class/dmi/id/product_uuid");
    std::fs::create_dir_all(uuid.parent().unwrap()).unwrap();
    std::fs::write(uuid, "EC2F0000-0000\n").unwrap();
    assert_eq!(Machine::read(&roots).unwrap().system_uuid, "EC2F0000-0000");
}

#[test]
fn what_is_missing_or_strange_is_named() {
    for (path, text, expected) in [
        ("proc/meminfo", Some("MemFree: 5 kB\n"), "proc/meminfo: it does not say how much memory there is"),
        ("sys/devices/system/cpu/online", Some("3-1"), "cpu/online: it does not say which processors are online"),
        ("sys/devices/system/cpu/online", Some(""), "cpu/online: it does not say which processors are online"),
        ("proc/sys/kernel/osrelease", None, "proc/sys/kernel/osrelease: No such file or directory"),
    ] {
        let (directory, roots) = tree(&MACHINE);
        match text {
            Some(text) => std::fs::write(directory.path().join(path), text).unwrap(),
            None => std::fs::remove_file(directory.path().join(path)).unwrap(),
        }
        let error = Machine::read(&roots).unwrap_err().to_string();
        assert!(error.contains(expected), "{error}");
    }
    let (_directory, roots) = tree(&MACHINE[..4]);
    let machine = Machine::read(&roots).unwrap();
    assert_eq!((machine.huge_pages.len(), machine.os_image.as_str(), machine.system_uuid.as_str()), (0, "Linux", ""));
}

#[test]
fn this_machine_can_be_read() {
    let machine = Machine::read(&Roots::of_machine(std::env::temp_dir())).unwrap();
    assert!(machine.processors > 0 && machine.memory > 0 && machine.storage > 0 && !machine.kernel.is_empty());
}

fn shown(amounts: &BTreeMap<String, Amount>) -> Vec<(String, String)> {
    amounts.iter().map(|(name, amount)| (name.clone(), amount.canonical())).collect()
}

#[test]
fn nodes_say_what_upstreams_say() {
    let machine = Machine {
        processors: 4,
        memory: 16_393_244 << 10,
        storage: 62_725_624 << 10,
        huge_pages: BTreeMap::from([(2 << 20, 64 << 20), (1 << 30, 0)]),
        ..Machine::default()
    };
    let reserved = Reserved {
        kube: amounts("cpu=100m, memory=256Mi").unwrap(),
        system: amounts("cpu=100m,ephemeral-storage=1Gi,").unwrap(),
        eviction: thresholds(EVICTION_HARD).unwrap(),
    };
    let setting =
        Setting { runtime_version: "containerd://1.6.20".to_owned(), max_pods: 110, reserved, ..Setting::default() };
    let facts = machine.facts(&setting);
    let list = |quantities: &BTreeMap<String, Quantity>| {
        quantities.iter().map(|(name, amount)| format!("{name}={}", amount.0)).collect::<Vec<_>>().join(" ")
    };
    let capacity = "cpu=4 ephemeral-storage=62725624Ki hugepages-1Gi=0 hugepages-2Mi=64Mi memory=16393244Ki pods=110";
    assert_eq!(list(&facts.capacity), capacity);
    let storage = (62_725_624_i64 << 10) - ((62_725_624_i64 << 10) as f64 * f64::from(0.1_f32)) as i64 - (1 << 30);
    let memory = 16_393_244 - (256 + 100 + 64) * 1024;
    let expected =
        format!("cpu=3800m ephemeral-storage={storage} hugepages-1Gi=0 hugepages-2Mi=64Mi memory={memory}Ki pods=110");
    assert_eq!(list(&facts.allocatable), expected);
    assert_eq!(facts.system.container_runtime_version, "containerd://1.6.20");
    assert_eq!((facts.system.kubelet_version.as_str(), facts.system.swap), (VERSION, None));
}

#[test]
fn nothing_is_less_than_nothing() {
    let machine = Machine { processors: 1, memory: 64 << 20, ..Machine::default() };
    let reserved = Reserved {
        kube: amounts("cpu=2").unwrap(),
        eviction: thresholds("memory.available<100Mi,nodefs.available<50%").unwrap(),
        ..Reserved::default()
    };
    let left = allocatable(&machine.capacity(10), &reserved);
    let expected = [("cpu", "0"), ("ephemeral-storage", "0"), ("memory", "0"), ("pods", "10")];
    assert_eq!(shown(&left), expected.map(|(name, amount)| (name.to_owned(), amount.to_owned())));
}

#[test]
fn options_that_cannot_be_read_are_refused() {
    for text in ["cpu", "cpu=", "cpu=x", "cpu=-1", "=,"] {
        assert!(amounts(text).unwrap_err().to_string().contains("write it as cpu=100m"), "{text}");
    }
    for text in ["memory.available", "memory.available<", "memory.available<x%", "memory.available<101%", "a<-1"] {
        assert!(thresholds(text).unwrap_err().to_string().contains("write it as memory.available<100Mi"), "{text}");
    }
    assert_eq!(thresholds("").unwrap(), BTreeMap::new());
}
