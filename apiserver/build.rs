//! Compresses the descriptions of the API, a megabyte of text that is seldom read, to a fifth.

use std::error::Error;
use std::io::Write as _;
use std::path::PathBuf;

use flate2::Compression;
use flate2::write::ZlibEncoder;

const DESCRIPTIONS: &str = "src/openapi/descriptions.txt";

fn main() -> Result<(), Box<dyn Error>> {
    let out = PathBuf::from(std::env::var_os("OUT_DIR").ok_or("cargo sets OUT_DIR")?);
    let text = std::fs::read(DESCRIPTIONS)?;
    let mut encoder = ZlibEncoder::new(Vec::new(), Compression::best());
    encoder.write_all(&text)?;
    std::fs::write(out.join("descriptions.zlib"), encoder.finish()?)?;
    write!(std::io::stdout(), "cargo::rerun-if-changed=build.rs\ncargo::rerun-if-changed={DESCRIPTIONS}\n")?;
    Ok(())
}
