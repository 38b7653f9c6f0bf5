//! The cache with a clock that goes when the test says so.

use hickory_proto::rr::rdata::{A, SOA};
use hickory_proto::rr::{Name, RecordType};
use proptest::prelude::*;

use super::*;

fn key(name: &str) -> Key {
    let question = Question { name: Name::from_ascii(name).unwrap(), kind: RecordType::A };
    Key { question, dnssec_ok: false, checking_disabled: false }
}

fn address(name: &str, ttl: u32) -> Record {
    Record::from_rdata(Name::from_ascii(name).unwrap(), ttl, RData::A(A([192, 0, 2, 1].into())))
}

fn soa(ttl: u32, minimum: u32) -> Record {
    let name = Name::from_ascii("example.com.").unwrap();
    Record::from_rdata(name.clone(), ttl, RData::SOA(SOA::new(name.clone(), name, 1, 1, 1, 1, minimum)))
}

fn heard(code: ResponseCode, answers: Vec<Record>, authorities: Vec<Record>) -> Arc<Heard> {
    Arc::new(Heard { reply: Reply { answers, authorities, ..Reply::only(code) }, authentic: false, size: 100 })
}

const SECOND: Duration = Duration::from_secs(1);

#[test]
fn answers_are_good_for_as_long_as_they_say_within_bounds() {
    let name = "www.example.com.";
    let check = |code, answers: &[u32], authorities: Vec<Record>, expected: Option<u64>| {
        let answers: Vec<Record> = answers.iter().map(|ttl| address(name, *ttl)).collect();
        let heard = heard(code, answers, authorities);
        assert_eq!(heard.good_for(30 * SECOND), expected.map(Duration::from_secs), "{heard:?}");
    };
    let (ok, none) = (ResponseCode::NoError, ResponseCode::NXDomain);
    check(ok, &[10], vec![], Some(10));
    check(ok, &[3600, 20], vec![], Some(20));
    check(ok, &[3600], vec![], Some(30));
    check(ok, &[0], vec![], Some(5));
    check(ok, &[20], vec![soa(9, 9)], Some(9));
    check(none, &[], vec![soa(3600, 12)], Some(12));
    check(none, &[], vec![soa(8, 3600)], Some(8));
    check(none, &[20], vec![soa(3600, 3600)], Some(20));
    check(ok, &[], vec![soa(3600, 3600)], Some(30));
    check(none, &[], vec![], None);
    check(ok, &[], vec![], None);
    check(ResponseCode::ServFail, &[], vec![], Some(5));
    check(ResponseCode::Refused, &[], vec![], None);
    let long = heard(ok, vec![address(name, 7200)], vec![]);
    assert_eq!(long.good_for(3_600 * SECOND), Some(3_600 * SECOND));
}

#[tokio::test(start_paused = true)]
async fn times_go_down_and_nothing_is_said_after_its_time() {
    let mut cache = Cache::new(CacheBounds::default());
    let begin = Instant::now();
    cache.put(
        key("www.example.com."),
        &heard(ResponseCode::NoError, vec![address("www.example.com.", 20)], vec![]),
        begin,
    );
    let asked = key("WWW.example.com.");
    let (found, left, denial) = cache.get(&asked, begin + 7 * SECOND).unwrap();
    assert_eq!((left, denial), (13 * SECOND, false));
    let said = found.said(&asked.question, Some(left));
    assert_eq!((said.answers[0].ttl, said.answers[0].name.to_ascii()), (13, "WWW.example.com.".to_owned()));
    assert!(cache.get(&asked, begin + 20 * SECOND).is_none());
    assert_eq!(cache.len(), 1);
    cache.expire(begin + 20 * SECOND);
    assert_eq!((cache.len(), cache.bytes), (0, 0));
}

#[tokio::test(start_paused = true)]
async fn questions_are_told_apart() {
    let mut cache = Cache::new(CacheBounds::default());
    let now = Instant::now();
    cache.put(key("a.example."), &heard(ResponseCode::NoError, vec![address("a.example.", 20)], vec![]), now);
    let check = |change: &dyn Fn(&mut Key), found: bool| {
        let mut key = key("a.example.");
        change(&mut key);
        assert_eq!(cache.get(&key, now).is_some(), found, "{key:?}");
    };
    check(&|_| (), true);
    check(&|key| key.question.name = Name::from_ascii("b.example.").unwrap(), false);
    check(&|key| key.question.kind = RecordType::AAAA, false);
    check(&|key| key.dnssec_ok = true, false);
    check(&|key| key.checking_disabled = true, false);
}

proptest! {
    /// The cache holds its bounds, and says of each question what was said last of it, or nothing.
    #[test]
    fn bounds_hold(
        steps in proptest::collection::vec((0_u8..12, 1_u32..40, 0_u64..6, 50_usize..400), 0..80),
        entries in 0_usize..8,
        bytes in 0_usize..8_000,
    ) {
        let mut cache = Cache::new(CacheBounds { entries, bytes, longest: 30 * SECOND });
        let (mut now, mut said) = (Instant::now(), HashMap::new());
        for (name, ttl, passed, size) in steps {
            now += Duration::from_secs(passed);
            let name = format!("n{name}.example.");
            let answer = Heard {
                reply: Reply { answers: vec![address(&name, ttl)], ..Reply::only(ResponseCode::NoError) },
                authentic: false,
                size,
            };
            let answer = Arc::new(answer);
            let good_for = cache.put(key(&name), &answer, now).unwrap();
            said.insert(name, (answer, now + good_for));
            prop_assert!(cache.len() <= entries && cache.bytes <= bytes);
            prop_assert_eq!(cache.order.len(), cache.len());
            prop_assert_eq!(cache.bytes, cache.entries.values().map(|entry| cost(&entry.heard)).sum::<usize>());
            for (name, (answer, until)) in &said {
                if let Some((found, left, _)) = cache.get(&key(name), now) {
                    prop_assert!(Arc::ptr_eq(&found, answer), "{} is old", name);
                    prop_assert_eq!(now + left, *until);
                }
            }
        }
    }
}
