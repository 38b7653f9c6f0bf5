//! What is removed, and above all what is not.

use std::fs;
use std::os::unix::fs::symlink;

use rustix::mount::MountFlags;

use super::super::tests::ground::Ground;
use super::*;

#[test]
fn names_are_of_one_part() {
    let check = |text: &str, expected: bool| assert_eq!(is_name(text), expected, "{text:?}");
    check("7f1c0f3e-2f0a-4d4c-9b8e-1a2b3c4d5e6f", true);
    check("a..b", true);
    check("", false);
    check(".", false);
    check("..", false);
    check("a/b", false);
    check("/a", false);
    check("a/", false);
    check("./a", false);
}

#[test]
fn links_are_removed_and_not_followed() {
    let (pod, outside) = (Ground::new(), Ground::new());
    fs::create_dir(outside.path().join("dir")).unwrap();
    fs::write(outside.path().join("dir/data"), "x").unwrap();
    let dir = pod.path().join("volumes");
    fs::create_dir_all(dir.join("a/b")).unwrap();
    symlink(outside.path(), dir.join("a/link")).unwrap();
    symlink(outside.path().join("dir"), dir.join("link")).unwrap();
    symlink("..", dir.join("a/b/up")).unwrap();
    remove(&dir).unwrap();
    assert!(!dir.exists() && outside.path().join("dir/data").exists());
    // Neither a link in its own place nor one above it.
    symlink(outside.path(), &dir).unwrap();
    remove(&dir.join("dir")).unwrap_err();
    assert!(outside.path().join("dir/data").exists());
    remove(&dir).unwrap();
    assert!(fs::symlink_metadata(&dir).is_err() && outside.path().join("dir/data").exists());
    remove(&dir).unwrap();
    remove(&dir.join("not/there")).unwrap();
}

#[test]
fn what_is_mounted_is_unmounted_and_its_data_stays() {
    let Some(ground) = Ground::for_mounts() else { return };
    let (pod, outside) = (ground.path().join("pod"), ground.path().join("outside"));
    fs::create_dir_all(outside.join("sub")).unwrap();
    fs::write(outside.join("sub/data"), "x").unwrap();
    for name in ["bound", "memory", "busy"] {
        fs::create_dir_all(pod.join("v").join(name)).unwrap();
    }
    mounts::bind(&outside, &pod.join("v/bound"), MountFlags::empty()).unwrap();
    mounts::bind(&outside, &pod.join("v/bound"), MountFlags::RDONLY).unwrap();
    mounts::memory(&pod.join("v/memory"), Some(1 << 20)).unwrap();
    fs::create_dir(pod.join("v/memory/in")).unwrap();
    mounts::bind(&outside, &pod.join("v/memory/in"), MountFlags::empty()).unwrap();
    mounts::memory(&pod.join("v/busy"), None).unwrap();
    let open = fs::File::create(pod.join("v/busy/open")).unwrap();
    remove(&pod).unwrap();
    assert!(!pod.exists());
    assert_eq!(fs::read_to_string(outside.join("sub/data")).unwrap(), "x");
    assert_eq!(mounts::below(ground.path()).unwrap(), []);
    drop(open);
}

#[test]
fn nothing_is_removed_through_a_mount() {
    let Some(ground) = Ground::for_mounts() else { return };
    let (pod, outside) = (ground.path().join("pod"), ground.path().join("outside"));
    fs::create_dir_all(pod.join("v")).unwrap();
    fs::create_dir_all(&outside).unwrap();
    fs::write(outside.join("data"), "x").unwrap();
    mounts::bind(&outside, &pod.join("v"), MountFlags::empty()).unwrap();
    // As if it had been mounted after everything was unmounted.
    let flags = OFlags::RDONLY | OFlags::DIRECTORY;
    let above = rustix::fs::openat(CWD, ground.path(), flags, Mode::empty()).unwrap();
    assert_eq!(remove_one(&above, c"pod"), Err(Errno::XDEV));
    assert!(outside.join("data").exists());
}

#[test]
fn pods_are_directories() {
    let ground = Ground::new();
    let pods_dir = ground.path().join("pods");
    assert_eq!(pods(&pods_dir).unwrap(), Vec::<String>::new());
    for name in ["b", "a"] {
        fs::create_dir_all(pods_dir.join(name)).unwrap();
    }
    fs::write(pods_dir.join("file"), "").unwrap();
    symlink("a", pods_dir.join("link")).unwrap();
    assert_eq!(pods(&pods_dir).unwrap(), ["a", "b"]);
}
