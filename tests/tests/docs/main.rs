//! Whatever the docs say is so: every command on their pages is run, in the page's order and in one shell, on a machine with a
//! real node, and has to succeed; what a page shows as its output is compared; what a page shows of a file is what the file says.
//!
//! Each page has a machine of its own, as a user may read any of them first. What cannot be run says why beside it.

mod page;

use std::fmt::Write;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};

use tests::images::archives;
use tests::machine::Machine;

use crate::page::{Block, Use};

/// How long a page may take. Only a page with a command that never ends takes so long.
const PATIENCE: &str = "300";
/// What a user has on the path, besides `gantry`.
const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// Directories that are shared with the real machine unless there are others in their place.
const OWN: [&str; 3] = ["/var/lib", "/tmp", "/var/tmp"];

fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..").canonicalize().expect("it is there")
}

/// Whether there can be nodes here. Where containers are promised to run, they have to.
fn is_possible() -> bool {
    match Machine::possible() {
        Ok(()) => true,
        Err(why) => {
            assert!(std::env::var_os("CI").is_none(), "{why}");
            #[allow(clippy::print_stdout)]
            {
                println!("skipped: {why}");
            }
            false
        }
    }
}

fn blocks(name: &str) -> Vec<Block> {
    let text = std::fs::read_to_string(repository().join(name)).expect("the page is there");
    page::blocks(&text).unwrap_or_else(|wrong| panic!("{name}, {wrong}"))
}

/// A machine as a user has it before the first command of a page: a checkout in which everything has been built, and `gantry`
/// on the path. What is kept there is the machine's alone.
struct Desk {
    machine: Machine,
}

impl Desk {
    fn new() -> Desk {
        let desk = Desk { machine: Machine::new() };
        for (at, directory) in OWN.into_iter().enumerate() {
            // What the machine's own directory is in would take it along.
            if desk.machine.directory().starts_with(directory) {
                continue;
            }
            let own = desk.make(&format!("own-{at}"));
            let mounted = desk.machine.command("mount").args(["--bind"]).arg(own).arg(directory).status();
            assert!(mounted.expect("it can be run").success(), "{directory} cannot be had apart");
        }
        let images = archives();
        let checkout = desk.make("checkout");
        for entry in std::fs::read_dir(repository()).expect("it is there").flatten() {
            let name = entry.file_name();
            if name != "target" && !name.to_string_lossy().starts_with("gantry-") {
                symlink(entry.path(), checkout.join(name)).expect("a link");
            }
        }
        symlink(images.canonicalize().expect("they are there"), desk.make("checkout/target").join("images"))
            .expect("a link");
        desk.write_program(&desk.make("checkout/target/demo"));
        symlink(checkout.join("target/demo"), desk.machine.directory().join("bin")).expect("a link");
        desk.make("home");
        desk.make("blocks");
        desk
    }

    fn make(&self, name: &str) -> PathBuf {
        let directory = self.machine.directory().join(name);
        std::fs::create_dir_all(&directory).expect("a directory");
        directory
    }

    /// `gantry`, which on this machine is told what a user does not have to say: that its cgroups are to be below one that is
    /// removed after the test, and that disks may be full.
    fn write_program(&self, directory: &Path) {
        let here = std::env::current_exe().expect("a program knows where it is");
        let binary = here.ancestors().nth(2).expect("it is in a target directory").join("gantry");
        assert!(binary.exists(), "{} is not there: run `cargo build -p gantry`", binary.display());
        let (binary, root) = (binary.display(), self.machine.cgroup());
        let script = format!(
            "#!/bin/sh\ncase ${{1:-}} in\n\
             up) exec '{binary}' \"$@\" --cgroup-root '/{root}' --eviction-hard 'memory.available<100Mi' ;;\n\
             reset) exec '{binary}' \"$@\" --cgroup-root '/{root}' ;;\n\
             *) exec '{binary}' \"$@\" ;;\nesac\n"
        );
        let path = directory.join("gantry");
        std::fs::write(&path, script).expect("a file");
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).expect("a mode");
    }

    /// Runs the blocks in one shell, which ends at the first command that fails. What each of them has said, as far as they
    /// came, and whether all of the last one went well.
    fn run(&self, blocks: &[&Block]) -> (Vec<String>, bool) {
        let directory = self.machine.directory();
        let checkout = directory.join("checkout");
        let mut script = format!("set -eE -o pipefail\ncd '{}'\n", checkout.display());
        for (number, block) in blocks.iter().enumerate() {
            let file = directory.join(format!("blocks/{number}"));
            std::fs::write(file.with_extension("sh"), &block.text).expect("a file");
            let file = file.display();
            writeln!(script, "source '{file}.sh' >'{file}.out' 2>&1").expect("a string takes all");
        }
        let main = directory.join("blocks/main.sh");
        std::fs::write(&main, script).expect("a file");
        let mut command = self.machine.command("timeout");
        command.args([PATIENCE, "bash"]).arg(main).env_clear();
        command.env("PATH", format!("{}:{PATH}", directory.join("bin").display()));
        command.env("HOME", directory.join("home")).env("TERM", "dumb").env("LANG", "C.UTF-8");
        let status = command.stdin(std::process::Stdio::null()).status().expect("it can be run");
        let outputs = (0..blocks.len()).map_while(|number| {
            let bytes = std::fs::read(directory.join(format!("blocks/{number}.out"))).ok()?;
            Some(String::from_utf8_lossy(&bytes).into_owned())
        });
        (outputs.collect(), status.success())
    }
}

/// Runs a page.
fn check(name: &str) {
    if !is_possible() {
        return;
    }
    let blocks = blocks(name);
    let commands: Vec<&Block> = blocks.iter().filter(|block| matches!(block.used, Use::Run(_))).collect();
    assert!(!commands.is_empty(), "{name} has no commands");
    let (outputs, went_well) = Desk::new().run(&commands);
    for (at, (block, output)) in commands.iter().zip(&outputs).enumerate() {
        let place = format!("{name}, line {}", block.line);
        let ended = went_well || at + 1 < outputs.len();
        assert!(ended, "{place} failed:\n{}--- and said\n{output}", block.text);
        if let Use::Run(Some(shown)) = &block.used {
            let is_so = page::is_shown(shown, output);
            assert!(is_so, "{place}:\n{}--- says\n{output}--- and the page shows\n{shown}", block.text);
        }
    }
    assert_eq!(outputs.len(), commands.len(), "{name} ended before its last block");
}

/// A test for each page, and one that there are no others.
macro_rules! pages {
    ($($test:ident: $path:literal,)*) => {
        $(#[test]
        fn $test() {
            check($path);
        })*

        const PAGES: &[&str] = &[$($path),*];
    };
}

pages! {
    readme: "README.md",
    concepts: "docs/concepts.md",
    getting_started: "docs/getting-started.md",
    operating: "docs/operating.md",
    troubleshooting: "docs/troubleshooting.md",
}

#[test]
fn every_page_is_tested_and_says_what_its_files_say() {
    let repository = repository();
    // A page without commands and files has nothing that could be tested.
    let pages: Vec<String> = page::all(&repository).into_iter().filter(|name| !blocks(name).is_empty()).collect();
    assert_eq!(pages, PAGES);
    let mut excused = String::new();
    for name in PAGES {
        for block in blocks(name) {
            match &block.used {
                Use::File(file) => {
                    let text = std::fs::read_to_string(repository.join(file)).unwrap_or_default();
                    assert_eq!(block.text, text, "{name}, line {}: {file} says something else", block.line);
                }
                Use::Show(why) => writeln!(excused, "{name}, line {}: {why}", block.line).expect("a string takes all"),
                Use::Run(_) => {}
            }
        }
    }
    // Whoever looks at the test's output sees what it does not vouch for.
    #[allow(clippy::print_stdout)]
    {
        println!("not run:\n{excused}");
    }
}
