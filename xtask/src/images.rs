//! Builds the images that tests run, as archives that need no registry: our own server (`test-image`) in two versions and
//! once with a user, and busybox, from Debian's `busybox-static`.
//!
//! Built again in the same place from the same sources, compiler and package they are the same bytes. An archive is
//! written only once it is whole, so that whoever finds one can use it.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use oci::{Image, Layer};

const USAGE: &str = "usage: cargo xtask images [--out DIR]";

/// Where archives are put unless somebody says where, and what is compiled for them.
const DIRECTORY: &str = "target/images";
/// Where the package has its program.
const BUSYBOX: [&str; 2] = ["/bin/busybox", "/usr/bin/busybox"];
/// Whom images know by name.
const USERS: &str = "root:x:0:0:root:/:/bin/sh\nnobody:x:65534:65534:nobody:/:/bin/sh\n";
const GROUPS: &str = "root:x:0:\nnobody:x:65534:\n";
const PATH: &str = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// Builds them all.
pub(crate) fn run() -> Result<(), String> {
    let arguments: Vec<String> = std::env::args().skip(2).collect();
    let out = match arguments.as_slice() {
        [] => repository().join(DIRECTORY),
        [flag, directory] if flag == "--out" => PathBuf::from(directory),
        _ => return Err(USAGE.to_owned()),
    };
    fs::create_dir_all(&out).map_err(|error| format!("{}: {error}", out.display()))?;
    let program = compile()?;
    let layer = server_layer(&program).map_err(|error| format!("{}: {error}", program.display()))?;
    for (tag, version, user) in [("1", "1", ""), ("2", "2", ""), ("nobody", "1", "nobody")] {
        let image = Image {
            name: format!("gantry.local/test:{tag}"),
            entrypoint: vec!["/test-image".to_owned()],
            environment: vec![PATH.to_owned(), format!("VERSION={version}")],
            user: user.to_owned(),
            working_directory: "/".to_owned(),
            layers: vec![layer.clone()],
            ..Image::default()
        };
        write(&out.join(format!("test-{tag}.tar")), image)?;
    }
    write(&out.join("busybox-1.tar"), busybox()?)
}

/// Compiles our server, linked statically: its image has no C library. Apart from everything else that is compiled here, so
/// that neither makes the other compile again.
fn compile() -> Result<PathBuf, String> {
    let target = target()?;
    let directory = repository().join(DIRECTORY).join("build");
    let status = Command::new(cargo())
        .current_dir(repository())
        .args(["build", "--quiet", "--locked", "--package", "test-image", "--profile", "image", "--target", &target])
        .arg("--target-dir")
        .arg(&directory)
        .env("RUSTFLAGS", "-C target-feature=+crt-static")
        .env_remove("CARGO_ENCODED_RUSTFLAGS")
        .status()
        .map_err(|error| format!("cannot run cargo: {error}"))?;
    if !status.success() {
        return Err("the server of the test images does not compile".to_owned());
    }
    Ok(directory.join(target).join("image/test-image"))
}

/// What the compiler compiles for if nobody says so. It has to be said for flags to hold for the program alone and not for
/// what runs while it is compiled.
fn target() -> Result<String, String> {
    let rustc = std::env::var_os("RUSTC").unwrap_or_else(|| "rustc".into());
    let output = Command::new(rustc).arg("-vV").output().map_err(|error| format!("cannot run rustc: {error}"))?;
    let text = String::from_utf8_lossy(&output.stdout);
    let host = text.lines().find_map(|line| line.strip_prefix("host: "));
    host.map(str::to_owned).ok_or_else(|| "rustc does not say what it compiles for".to_owned())
}

fn server_layer(program: &Path) -> std::io::Result<Vec<u8>> {
    let mut layer = Layer::default();
    ground(&mut layer)?;
    layer.file("test-image", 0o755, &fs::read(program)?)?;
    layer.finish()
}

/// What both images have.
fn ground(layer: &mut Layer) -> std::io::Result<()> {
    layer.directory("etc", 0o755)?;
    layer.file("etc/group", 0o644, GROUPS.as_bytes())?;
    layer.file("etc/passwd", 0o644, USERS.as_bytes())?;
    layer.directory("tmp", 0o1777)
}

fn busybox() -> Result<Image, String> {
    let missing = || "busybox is missing: install the Debian package busybox-static".to_owned();
    let path = BUSYBOX.into_iter().find(|path| Path::new(path).exists()).ok_or_else(missing)?;
    let program = fs::read(path).map_err(|error| format!("{path}: {error}"))?;
    // A program that needs a loader names it.
    if program.windows(LOADER.len()).any(|window| window == LOADER) {
        return Err(format!("{path} is not linked statically: install the Debian package busybox-static"));
    }
    let output = Command::new(path).arg("--list").output().map_err(|error| format!("{path}: {error}"))?;
    let list = String::from_utf8_lossy(&output.stdout).into_owned();
    let applets = list.lines().filter(|applet| *applet != "busybox");
    let layer = busybox_layer(&program, applets).map_err(|error| format!("{path}: {error}"))?;
    Ok(Image {
        name: "gantry.local/busybox:1".to_owned(),
        command: vec!["sh".to_owned()],
        environment: vec![PATH.to_owned()],
        working_directory: "/".to_owned(),
        layers: vec![layer],
        ..Image::default()
    })
}

/// How the path of the C library's loader goes on, on any machine.
const LOADER: &[u8] = b"/ld-linux";

fn busybox_layer<'a>(program: &[u8], applets: impl Iterator<Item = &'a str>) -> std::io::Result<Vec<u8>> {
    let mut layer = Layer::default();
    layer.directory("bin", 0o755)?;
    layer.file("bin/busybox", 0o755, program)?;
    for applet in applets {
        layer.symbolic_link(&format!("bin/{applet}"), "busybox")?;
    }
    ground(&mut layer)?;
    layer.directory("root", 0o700)?;
    layer.finish()
}

fn write(path: &Path, image: Image) -> Result<(), String> {
    let failed = |error: std::io::Error| format!("{}: {error}", path.display());
    let bytes = oci::layout::write(&[image]).map_err(failed)?;
    if fs::read(path).is_ok_and(|there| there == bytes) {
        return Ok(());
    }
    // Others may be building the same at the same time.
    let unfinished = path.with_extension(format!("{}.unfinished", std::process::id()));
    fs::write(&unfinished, &bytes).and_then(|()| fs::rename(&unfinished, path)).map_err(failed)
}

fn cargo() -> std::ffi::OsString {
    std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into())
}

/// The root of the workspace.
fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}
