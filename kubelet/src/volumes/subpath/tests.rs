//! Parts of volumes, honest ones and hostile ones.

use std::os::unix::fs::{MetadataExt, symlink};
use std::sync::atomic::{AtomicBool, Ordering};

use super::super::tests::ground::Ground;
use super::*;

/// How often a part is prepared while it is being swapped.
const ROUNDS: usize = 300;

struct Setup {
    ground: Ground,
}

impl Setup {
    fn new(ground: Ground) -> Setup {
        fs::create_dir_all(ground.path().join("volume")).unwrap();
        fs::create_dir_all(ground.path().join("outside/b/c")).unwrap();
        fs::write(ground.path().join("outside/secret"), "x").unwrap();
        Setup { ground }
    }

    fn volume(&self) -> PathBuf {
        self.ground.path().join("volume")
    }

    fn outside(&self) -> PathBuf {
        self.ground.path().join("outside")
    }

    fn target(&self) -> PathBuf {
        self.ground.path().join("subpaths/v/c/0")
    }

    fn find(&self, part: &str) -> io::Result<Part> {
        find_or_make(&self.volume(), Path::new(part))
    }
}

#[test]
fn parts_are_made_with_the_volumes_permissions() {
    let setup = Setup::new(Ground::new());
    fs::set_permissions(setup.volume(), Permissions::from_mode(0o2775)).unwrap();
    setup.find("a/b").unwrap();
    let mode = |path: &str| fs::metadata(setup.volume().join(path)).unwrap().mode() & 0o7777;
    assert_eq!((mode("a"), mode("a/b")), (0o2775, 0o2775));
    fs::set_permissions(setup.volume().join("a"), Permissions::from_mode(0o700)).unwrap();
    setup.find("a/b").unwrap();
    setup.find("./a//c/").unwrap();
    assert_eq!((mode("a"), mode("a/c")), (0o700, 0o2775), "what was there stays");
}

#[test]
fn links_lead_within_the_volume_only() {
    let setup = Setup::new(Ground::new());
    let volume = setup.volume();
    fs::create_dir_all(volume.join("real/deep")).unwrap();
    fs::write(volume.join("real/file"), "x").unwrap();
    symlink("real/deep", volume.join("within")).unwrap();
    symlink("../real/deep", volume.join("real/up")).unwrap();
    symlink("../outside", volume.join("out")).unwrap();
    symlink(setup.outside(), volume.join("absolute")).unwrap();
    symlink("/proc/self/root", volume.join("magic")).unwrap();
    symlink("nowhere", volume.join("dangling")).unwrap();
    symlink("/nowhere", volume.join("nowhere-else")).unwrap();
    let check = |part: &str, expected: bool| assert_eq!(setup.find(part).is_ok(), expected, "{part}");
    check("real/deep", true);
    check("real/file", true);
    check("within", true);
    check("within/new", true);
    check("real/up", true);
    check("out", false);
    check("out/secret", false);
    check("out/new", false);
    check("absolute", false);
    check("absolute/new", false);
    check("magic", false);
    check("magic/etc", false);
    check("dangling", false);
    check("nowhere-else/x", false);
    check("real/file/below", false);
    let mut outside: Vec<_> = fs::read_dir(setup.outside()).unwrap().map(|it| it.unwrap().file_name()).collect();
    outside.sort();
    assert_eq!(outside, ["b", "secret"], "nothing was made outside");
    assert!(volume.join("real/deep/new").is_dir());
}

#[test]
fn parts_are_bound_and_bound_anew() {
    let Some(ground) = Ground::for_mounts() else { return };
    let setup = Setup::new(ground);
    let (volume, target) = (setup.volume(), setup.target());
    fs::create_dir(volume.join("..1")).unwrap();
    fs::write(volume.join("..1/key"), "one").unwrap();
    symlink("..1", volume.join("..data")).unwrap();
    symlink("..data/key", volume.join("key")).unwrap();
    setup.find("key").unwrap().bind(&target).unwrap();
    assert_eq!(fs::read_to_string(&target).unwrap(), "one");
    setup.find("key").unwrap().bind(&target).unwrap();
    assert_eq!(mounts::below(setup.ground.path()).unwrap().len(), 1, "the same is not bound twice");
    fs::create_dir(volume.join("..2")).unwrap();
    fs::write(volume.join("..2/key"), "two").unwrap();
    fs::remove_file(volume.join("..data")).unwrap();
    symlink("..2", volume.join("..data")).unwrap();
    fs::remove_dir_all(volume.join("..1")).unwrap();
    setup.find("key").unwrap().bind(&target).unwrap();
    assert_eq!(fs::read_to_string(&target).unwrap(), "two");
    setup.find("dir").unwrap().bind(&target).unwrap();
    fs::write(target.join("in"), "x").unwrap();
    assert!(volume.join("dir/in").exists());
    assert_eq!(mounts::below(setup.ground.path()).unwrap().len(), 1);
}

/// Swaps a directory and a link out of the volume for as long as it may, as a container might.
fn swap(volume: &Path, done: &AtomicBool) {
    let volume = rustix::fs::openat(CWD, volume, OFlags::PATH, Mode::empty()).unwrap();
    while !done.load(Ordering::Relaxed) {
        // Either may be away for a moment, when the test makes it again.
        let _ = rustix::fs::renameat_with(&volume, "a", &volume, "evil", rustix::fs::RenameFlags::EXCHANGE);
    }
}

/// Ends the swapping however the test ends.
struct Finish<'a>(&'a AtomicBool);

impl Drop for Finish<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

#[test]
fn whoever_swaps_links_never_gets_out() {
    let Some(ground) = Ground::for_mounts() else { return };
    let setup = Setup::new(ground);
    let (volume, outside) = (setup.volume(), setup.outside());
    fs::create_dir(volume.join("a")).unwrap();
    symlink(&outside, volume.join("evil")).unwrap();
    let forbidden = |path: &Path| {
        let stat = fs::metadata(path).unwrap();
        (stat.dev(), stat.ino())
    };
    let forbidden = [forbidden(&outside), forbidden(&outside.join("b")), forbidden(&outside.join("b/c"))];
    let done = AtomicBool::new(false);
    let (mut bound, mut refused) = (0, 0);
    std::thread::scope(|scope| {
        let _finish = Finish(&done);
        scope.spawn(|| swap(&volume, &done));
        for round in 0..ROUNDS {
            // Parts that are there outside, and parts that are to be made.
            let part = ["a", "a/b/c", "a/new/deeper"][round % 3];
            let target = setup.ground.path().join(format!("subpaths/v/c/{round}"));
            match setup.find(part).and_then(|found| found.bind(&target)) {
                Ok(()) => {
                    bound += 1;
                    let stat = fs::metadata(&target).unwrap();
                    let is_outside = forbidden.contains(&(stat.dev(), stat.ino())) || target.join("secret").exists();
                    teardown(&target);
                    assert!(!is_outside, "round {round} has bound what is outside");
                }
                Err(_) => refused += 1,
            }
        }
    });
    assert!(!outside.join("new").exists(), "nothing was made outside");
    assert_eq!(bound + refused, ROUNDS);
}

fn teardown(target: &Path) {
    super::super::teardown::remove(target).unwrap();
}
