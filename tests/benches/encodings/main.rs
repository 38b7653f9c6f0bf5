//! Protobuf beside JSON: what the examples in `manifests/examples` take on the wire, and how long they take to be read and
//! written.
//!
//! `decode` is from bytes to the JSON value that the API server works with; `encode` is from stored JSON to the body of an
//! answer. For JSON an answer is the stored bytes, so `encode/json` is what it costs to make them from a value.

use std::hint::black_box;
use std::path::Path;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use serde_json::Value;

/// Every example as JSON and as protobuf.
fn examples() -> Vec<(Vec<u8>, Vec<u8>)> {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("../manifests/examples");
    let files = std::fs::read_dir(directory).expect("there are examples");
    let read = |file: std::io::Result<std::fs::DirEntry>| {
        let text = std::fs::read_to_string(file.expect("an example").path()).expect("it can be read");
        let value: Value = serde_saphyr::from_str(&text).expect("it is YAML");
        let json = serde_json::to_vec(&value).expect("it has a form as JSON");
        let protobuf = api::protobuf::encode(&json).expect("it has a form as protobuf");
        (json, protobuf)
    };
    files.map(read).collect()
}

#[allow(clippy::print_stdout, reason = "a benchmark's figures go to standard output")]
fn run(criterion: &mut Criterion) {
    let examples = examples();
    let json: usize = examples.iter().map(|(json, _)| json.len()).sum();
    let protobuf: usize = examples.iter().map(|(_, protobuf)| protobuf.len()).sum();
    println!("{} examples: {json} bytes as JSON, {protobuf} bytes as protobuf", examples.len());
    let mut group = criterion.benchmark_group("encodings");
    group.throughput(Throughput::Bytes(json as u64));
    group.bench_function("decode/json", |bencher| {
        bencher.iter(|| examples.iter().for_each(|(json, _)| drop(black_box(serde_json::from_slice::<Value>(json)))));
    });
    group.bench_function("decode/protobuf", |bencher| {
        bencher.iter(|| examples.iter().for_each(|(_, protobuf)| drop(black_box(api::protobuf::decode(protobuf)))));
    });
    let values: Vec<Value> = examples.iter().filter_map(|(json, _)| serde_json::from_slice(json).ok()).collect();
    group.bench_function("encode/json", |bencher| {
        bencher.iter(|| values.iter().for_each(|value| drop(black_box(serde_json::to_vec(value)))));
    });
    group.bench_function("encode/protobuf", |bencher| {
        bencher.iter(|| examples.iter().for_each(|(json, _)| drop(black_box(api::protobuf::encode(json)))));
    });
    group.finish();
}

criterion_group!(benches, run);
criterion_main!(benches);
