//! Schedules: what they mean, and what is said of malformed ones.

use proptest::prelude::*;

use super::*;

fn numbers(set: Set) -> Vec<u32> {
    (0..64).filter(|number| set.contains(*number)).collect()
}

fn times(text: &str) -> Times {
    match Schedule::parse(text) {
        Ok(Schedule { due: Due::At(times), .. }) => times,
        other => panic!("{text}: {other:?}"),
    }
}

#[test]
fn fields_name_numbers() {
    let check = |minutes: &str, expected: &[u32], any: bool| {
        let set = times(&format!("{minutes} * * * *")).minutes;
        assert_eq!((numbers(set).as_slice(), set.any), (expected, any), "{minutes}");
    };
    check("5", &[5], false);
    check("0,30,59", &[0, 30, 59], false);
    check("10-12", &[10, 11, 12], false);
    check("50/5", &[50, 55], false);
    check("10-20/5", &[10, 15, 20], false);
    check("*/20", &[0, 20, 40], false);
    check("+7", &[7], false);
    check("1,,2", &[1, 2], false);
    let all: Vec<u32> = (0..60).collect();
    check("*", &all, true);
    check("?", &all, true);
    check("*/1", &all, true);
    // Nothing but commas is no time at all, which upstream takes, too.
    check(",", &[], false);
    let named = times("0 0 1 JAN-mar,12 Sun,tue-THU");
    assert_eq!(numbers(named.months), [1, 2, 3, 12]);
    assert_eq!(numbers(named.weekdays), [0, 2, 3, 4]);
}

#[test]
fn descriptors_are_short_for_schedules() {
    for (descriptor, fields) in [
        ("@yearly", "0 0 1 1 *"),
        ("@annually", "0 0 1 1 *"),
        ("@monthly", "0 0 1 * *"),
        ("@weekly", "0 0 * * 0"),
        ("@daily", "0 0 * * *"),
        ("@midnight", "0 0 * * *"),
        ("@hourly", "0 * * * *"),
    ] {
        assert_eq!(times(descriptor), times(fields), "{descriptor}");
    }
    let every = |text: &str| Schedule::parse(text).map(|schedule| schedule.due);
    assert_eq!(every("@every 1h30m"), Ok(Due::Every(5400)));
    assert_eq!(every("@every 10ms"), Ok(Due::Every(1)));
    assert_eq!(every("@every -5m"), Ok(Due::Every(1)));
}

#[test]
fn zones_come_first() {
    let zone = |text: &str| Schedule::parse(text).map(|schedule| schedule.zone);
    assert_eq!(zone("TZ=Asia/Tokyo 0 5 * * *"), Ok(Some("Asia/Tokyo".to_owned())));
    assert_eq!(zone("CRON_TZ=UTC @daily"), Ok(Some("UTC".to_owned())));
    assert_eq!(zone("0 5 * * *"), Ok(None));
}

#[test]
fn malformed_schedules_are_refused_as_upstream() {
    let check = |text: &str, expected: &str| {
        assert_eq!(Schedule::parse(text).unwrap_err(), expected, "{text:?}");
    };
    check("", "empty spec string");
    check(" ", "expected exactly 5 fields, found 0: []");
    check("* * * *", "expected exactly 5 fields, found 4: [* * * *]");
    check("0 * *  * * *", "expected exactly 5 fields, found 6: [0 * * * * *]");
    check("error", "expected exactly 5 fields, found 1: [error]");
    check("60 * * * *", "end of range (60) above maximum (59): 60");
    check("* 24 * * *", "end of range (24) above maximum (23): 24");
    check("* * 0 * *", "beginning of range (0) below minimum (1): 0");
    check("* * * 13 *", "end of range (13) above maximum (12): 13");
    check("* * * * 7", "end of range (7) above maximum (6): 7");
    check("5-3 * * * *", "beginning of range (5) beyond end of range (3): 5-3");
    check("1-2-3 * * * *", "too many hyphens: 1-2-3");
    check("1/2/3 * * * *", "too many slashes: 1/2/3");
    check("*/0 * * * *", "step of range should be a positive number: */0");
    check("x * * * *", "failed to parse int from x: strconv.Atoi: parsing \"x\": invalid syntax");
    check("1-x * * * *", "failed to parse int from x: strconv.Atoi: parsing \"x\": invalid syntax");
    check("*/-3 * * * *", "negative number (-3) not allowed: -3");
    check(
        "99999999999999999999 * * * *",
        "failed to parse int from 99999999999999999999: strconv.Atoi: parsing \"99999999999999999999\": value out of range",
    );
    check("@fortnightly", "unrecognized descriptor: @fortnightly");
    check("@every", "unrecognized descriptor: @every");
    check("@every 1d", "failed to parse duration @every 1d: time: unknown unit \"d\" in duration \"1d\"");
    check("TZ=Mars/Base 0 5 * * *", "provided bad location Mars/Base: unknown time zone Mars/Base");
    check("CRON_TZ=UTC", "provided bad location \"UTC\": no schedule follows it");
}

proptest! {
    #[test]
    fn nothing_panics(text in "[-*?/,@A-Za-z0-9_= ]{0,24}") {
        let _ = Schedule::parse(&text);
    }
}
