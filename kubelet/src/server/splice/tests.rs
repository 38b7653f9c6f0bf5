//! Where streams may lead, and how they end.

use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex};
use tokio::task::JoinHandle;

use super::*;

#[test]
fn only_this_machine_is_connected_to() {
    let check = |url: &str, expected: Option<(&str, &str)>| {
        let target = target(url).ok().map(|(address, path, _)| (address.to_string(), path.to_string()));
        assert_eq!(target.as_ref().map(|(address, path)| (&**address, &**path)), expected, "{url}");
    };
    check("http://127.0.0.1:1234/exec/tok?a=b", Some(("127.0.0.1:1234", "/exec/tok?a=b")));
    check("http://[::1]:1234/exec/tok", Some(("[::1]:1234", "/exec/tok")));
    check("http://localhost:80/x", Some(("127.0.0.1:80", "/x")));
    check("http://127.0.0.1/x", Some(("127.0.0.1:80", "/x")));
    for elsewhere in [
        "http://10.0.0.1:80/x",
        "http://0.0.0.0:80/x",
        "http://example.com/x",
        "http://127.0.0.1@example.com/x",
        "https://127.0.0.1/x",
        "/x",
        "unix:///x",
        "",
    ] {
        check(elsewhere, None);
    }
}

struct Ends {
    client: DuplexStream,
    runtime: DuplexStream,
    killed: CancellationToken,
    joining: JoinHandle<()>,
}

const IDLE: Duration = Duration::from_secs(4 * 60 * 60);

/// A client and a runtime with a stream between them, whose sockets hold 1 KiB each.
fn joined() -> Ends {
    let ((client, ours), (runtime, theirs)) = (duplex(1024), duplex(1024));
    let killed = CancellationToken::new();
    let token = killed.clone();
    let joining = tokio::spawn(async move { join(ours, theirs, IDLE, &token).await });
    Ends { client, runtime, killed, joining }
}

async fn read_all(from: &mut DuplexStream) -> String {
    let mut text = String::new();
    from.read_to_string(&mut text).await.unwrap();
    text
}

#[tokio::test(start_paused = true)]
async fn one_side_may_end_and_the_other_speak() {
    let Ends { mut client, mut runtime, joining, .. } = joined();
    client.write_all(b"question").await.unwrap();
    client.shutdown().await.unwrap();
    assert_eq!(read_all(&mut runtime).await, "question", "the end is passed on");
    runtime.write_all(b"answer").await.unwrap();
    runtime.shutdown().await.unwrap();
    assert_eq!(read_all(&mut client).await, "answer");
    joining.await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn who_reads_slowly_slows_the_writer_down() {
    let Ends { mut client, mut runtime, joining, .. } = joined();
    let block = vec![7; 1024];
    let mut written = 0;
    // On a paused clock this time is over as soon as nothing can go on.
    while tokio::time::timeout(Duration::from_secs(1), runtime.write_all(&block)).await.is_ok() {
        written += block.len();
        assert!(written <= BUFFER + 4 * 1024, "{written} bytes are under way");
    }
    drop(runtime);
    let mut read = Vec::new();
    client.read_to_end(&mut read).await.unwrap();
    assert!(read.len() >= written);
    drop(client);
    joining.await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_client_that_is_gone_frees_everything() {
    let Ends { client, mut runtime, joining, .. } = joined();
    drop(client);
    assert_eq!(read_all(&mut runtime).await, "");
    // The runtime learns of it when it writes, if not before.
    while runtime.write_all(b"more").await.is_ok() {
        tokio::task::yield_now().await;
    }
    joining.await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_stream_without_a_byte_ends() {
    let began = Instant::now();
    let Ends { mut client, mut runtime, joining, .. } = joined();
    tokio::time::sleep(IDLE - Duration::from_secs(1)).await;
    client.write_all(b"x").await.unwrap();
    assert_eq!(runtime.read_u8().await.unwrap(), b'x');
    joining.await.unwrap();
    assert_eq!(began.elapsed().as_secs(), 2 * IDLE.as_secs() - 1);
    assert_eq!(read_all(&mut client).await, "");
}

#[tokio::test(start_paused = true)]
async fn streams_end_with_the_server() {
    let Ends { mut client, runtime, killed, joining } = joined();
    killed.cancel();
    joining.await.unwrap();
    assert_eq!(read_all(&mut client).await, "");
    drop(runtime);
}
