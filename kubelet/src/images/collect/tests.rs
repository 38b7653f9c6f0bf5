//! Collection at a runtime in memory.

use std::sync::Arc;
use std::time::Duration;

use client::clock::Clock;
use client::testing::FakeServer;
use jiff::Timestamp;
use tonic::Status;

use super::*;
use crate::cri::fake::{Call, Fake, Fault, Offer};
use crate::images::Options;

fn world(images: &[(&str, u64)]) -> (Arc<Fake>, Images) {
    let clock = Clock::simulated(Timestamp::UNIX_EPOCH);
    let offers = images.iter().map(|(name, size)| Offer { size: *size, ..Offer::named(*name) }).collect();
    let fake = Fake::new(crate::cri::fake::Options { clock, images: offers, ..Default::default() });
    let images = Images::new(fake.cri(), FakeServer::new().client(), Options::default());
    (fake, images)
}

fn used(percent: u64) -> Filesystem {
    Filesystem { capacity: 1000, available: 1000 - percent * 10, ..Filesystem::default() }
}

async fn names(images: &Images) -> Vec<String> {
    let mut names: Vec<String> = images.on_node().await.unwrap().into_iter().filter_map(|it| it.names?.pop()).collect();
    names.sort();
    names
}

fn set(of: &[&str]) -> BTreeSet<String> {
    of.iter().map(|text| (*text).to_owned()).collect()
}

#[tokio::test(start_paused = true)]
async fn images_go_from_the_high_mark_down_to_the_low_one() {
    let (_fake, images) = world(&[("a.b/a:1", 30), ("a.b/b:1", 30), ("a.b/c:1", 30), ("a.b/pause:1", 30)]);
    images.pin("a.b/pause:1");
    let in_use = set(&["a.b/b:1"]);
    let limits = Limits::default();
    assert_eq!(images.collect(&in_use, &used(84), &limits).await, Ok(0));
    assert_eq!(names(&images).await.len(), 4);
    // 85 - 80 percent of 1000 are 50 bytes: one image is too little, and two are enough.
    assert_eq!(images.collect(&in_use, &used(85), &limits).await, Ok(60));
    assert_eq!(names(&images).await, ["a.b/b:1", "a.b/pause:1"]);
    let refused = images.collect(&in_use, &used(95), &limits).await.unwrap_err();
    assert_eq!(refused.reason, Some("FreeDiskSpaceFailed"));
    assert!(refused.message.starts_with(
        "Insufficient free disk space on the node's image filesystem (95% of 1000 B used). Failed to free sufficient space \
         by deleting unused images (freed 0 bytes)."
    ));
    assert_eq!(images.collect(&in_use, &used(95), &Limits { high_percent: 100, ..limits }).await, Ok(0));
    assert_eq!(images.collect_all(&set(&[]), &limits).await, Ok(30));
    assert_eq!(names(&images).await, ["a.b/pause:1"]);
    let refused = images.collect(&in_use, &Filesystem::default(), &limits).await.unwrap_err();
    assert_eq!(refused.message, "invalid capacity 0 on image filesystem");
}

#[tokio::test(start_paused = true)]
async fn what_cannot_be_removed_does_not_keep_the_others() {
    let (fake, images) = world(&[("a.b/a:1", 30), ("a.b/b:1", 30)]);
    fake.fail(Call::RemoveImage, 1, Fault::Fails(Status::unknown("it sticks")));
    let refused = images.collect(&set(&[]), &used(85), &Limits::default()).await.unwrap_err();
    assert_eq!((refused.reason, refused.freed), (None, 30));
    assert_eq!(refused.message, "wanted to free 50, but freed 30 space with errors in image deletion: it sticks");
    assert_eq!(names(&images).await.len(), 1);
}

#[tokio::test(start_paused = true)]
async fn images_that_nobody_used_for_long_go_without_need() {
    let (fake, images) = world(&[("a.b/a:1", 30), ("a.b/b:1", 30)]);
    let limits = Limits { maximum_age: Some(Duration::from_secs(3600)), ..Limits::default() };
    images.notice(&set(&[])).await.unwrap();
    tokio::time::advance(Duration::from_secs(3000)).await;
    fake.add_image(&Offer::named("a.b/c:1"));
    images.notice(&set(&["a.b/b:1"])).await.unwrap();
    assert_eq!(images.collect(&set(&[]), &used(10), &limits).await, Ok(0));
    tokio::time::advance(Duration::from_secs(1000)).await;
    assert_eq!(images.collect(&set(&[]), &used(10), &limits).await, Ok(30));
    assert_eq!(names(&images).await, ["a.b/b:1", "a.b/c:1"]);
}

#[tokio::test(start_paused = true)]
async fn a_node_names_its_largest_images() {
    let many: Vec<(String, u64)> = (0..60).map(|number| (format!("a.b/i{number}:1"), number)).collect();
    let many: Vec<(&str, u64)> = many.iter().map(|(name, size)| (name.as_str(), *size)).collect();
    let (_fake, images) = world(&many);
    let sizes: Vec<i64> = images.on_node().await.unwrap().into_iter().filter_map(|it| it.size_bytes).collect();
    assert_eq!(sizes, (10..60).rev().collect::<Vec<_>>());
}

#[test]
fn bytes_are_told_as_upstream_tells_them() {
    let check = |count, expected: &str| assert_eq!(bytes(count), expected);
    check(0, "0 B");
    check(1023, "1023 B");
    check(1024, "1.0 KiB");
    check(28_346_784_154, "26.4 GiB");
    check(u64::MAX, "16.0 EiB");
}
