//! Compiles the pause program, which the crate carries along as bytes (`images::pause`).
//!
//! It is made by the compiler that makes the crate, for the same machine, and depends on nothing but that.

use std::env;
use std::path::PathBuf;
use std::process::Command;

const SOURCE: &str = "pause/main.rs";

/// Neither what a C program begins with, nor anything that is only there to be read by debuggers and loaders; and no
/// room between what is mapped with different rights, which would make a page of each of some hundred bytes.
const LINKING: &str = "-nostartfiles -nostdlib -static -Wl,--build-id=none -Wl,-z,norelro -Wl,-n";

fn main() {
    println!("cargo::rerun-if-changed={SOURCE}");
    println!("cargo::rerun-if-env-changed=RUSTC_LINKER");
    let variable = |name: &str| env::var(name).unwrap_or_else(|_| panic!("cargo sets {name} for build scripts"));
    let program = PathBuf::from(variable("OUT_DIR")).join("pause");
    let mut compiler = Command::new(variable("RUSTC"));
    compiler.args(["--edition", "2024", "--crate-type", "bin", "--crate-name", "pause"]);
    compiler.args(["--target", &variable("TARGET")]);
    for option in
        ["panic=abort", "opt-level=s", "strip=symbols", "relocation-model=static", "target-feature=+crt-static"]
    {
        compiler.args(["-C", option]);
    }
    compiler.args(["-C", &format!("link-args={LINKING}")]);
    if let Ok(linker) = env::var("RUSTC_LINKER") {
        compiler.args(["-C", &format!("linker={linker}")]);
    }
    let status = compiler.arg("-o").arg(&program).arg(SOURCE).status();
    match status {
        Ok(status) if status.success() => {}
        Ok(status) => panic!("the pause program could not be compiled ({status}): {compiler:?}"),
        Err(error) => panic!("the compiler could not be started: {error}: {compiler:?}"),
    }
}
