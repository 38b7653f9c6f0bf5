//! From thousandths of a CPU to the kernel's numbers, and back. Pure.

/// The fewest shares (the kernel's own bound).
pub const LEAST_SHARES: i64 = 2;
/// The most shares (the kernel's own bound).
pub const MOST_SHARES: i64 = 262_144;
/// The shares of one CPU.
const SHARES_OF_CPU: i64 = 1024;
/// Microseconds: less cannot be asked for (the kernel's own bound).
const LEAST_QUOTA: i64 = 1000;

/// `cpu.shares` for a request of thousandths of a CPU.
#[must_use]
pub fn shares(thousandths: i64) -> i64 {
    (thousandths.saturating_mul(SHARES_OF_CPU) / 1000).clamp(LEAST_SHARES, MOST_SHARES)
}

/// The request that `cpu.shares` stands for, rounded up; 0 if it is the least that there is.
#[must_use]
pub fn request_of_shares(shares: i64) -> i64 {
    if shares < LEAST_SHARES {
        return 0;
    }
    let thousandths = shares.saturating_mul(1000);
    thousandths / SHARES_OF_CPU + i64::from(thousandths % SHARES_OF_CPU > 0)
}

/// `cpu.cfs_quota_us` for a limit of thousandths of a CPU, counted in a period of so many microseconds; 0 without a limit.
#[must_use]
pub fn quota(thousandths: i64, period: i64) -> i64 {
    match thousandths {
        0 => 0,
        _ => (thousandths.saturating_mul(period) / 1000).max(LEAST_QUOTA),
    }
}

/// The limit that a quota stands for; 0 for none.
#[must_use]
pub fn limit_of_quota(quota: i64, period: i64) -> i64 {
    if quota <= 0 || period <= 0 { 0 } else { quota.saturating_mul(1000) / period }
}

/// `cpu.weight`, from 1 to 10000, for `cpu.shares`.
#[must_use]
pub fn weight(shares: i64) -> i64 {
    let shares = shares.clamp(LEAST_SHARES, MOST_SHARES);
    1 + (shares - LEAST_SHARES) * 9999 / (MOST_SHARES - LEAST_SHARES)
}

/// `cpu.shares` for a `cpu.weight`.
#[must_use]
pub fn shares_of_weight(weight: i64) -> i64 {
    LEAST_SHARES + (weight.clamp(1, 10_000) - 1) * (MOST_SHARES - LEAST_SHARES) / 9999
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn numbers_are_upstreams() {
        let check = |thousandths: i64, of_shares: i64, of_quota: i64, of_weight: i64| {
            let found = (shares(thousandths), quota(thousandths, 100_000), weight(shares(thousandths)));
            assert_eq!(found, (of_shares, of_quota, of_weight), "{thousandths}");
        };
        check(0, 2, 0, 1);
        check(1, 2, 1000, 1);
        check(2, 2, 1000, 1);
        check(100, 102, 10_000, 4);
        check(250, 256, 25_000, 10);
        check(1000, 1024, 100_000, 39);
        check(1500, 1536, 150_000, 59);
        check(256_000, 262_144, 25_600_000, 10_000);
        check(1_000_000, 262_144, 100_000_000, 10_000);
        assert_eq!((request_of_shares(0), request_of_shares(2), request_of_shares(1024)), (0, 2, 1000));
        assert_eq!((limit_of_quota(-1, 100_000), limit_of_quota(150_000, 100_000), limit_of_quota(1, 0)), (0, 1500, 0));
    }

    proptest! {
        #[test]
        fn shares_and_quotas_stand_for_what_they_were_made_from(thousandths in 2_i64..=256_000, period in 1000_i64..1_000_000) {
            let request = request_of_shares(shares(thousandths));
            prop_assert!(request <= thousandths && thousandths - request <= 1, "{} for {}", request, thousandths);
            let quota = quota(thousandths, period);
            let limit = limit_of_quota(quota, period);
            prop_assert!(quota == LEAST_QUOTA || (limit <= thousandths && thousandths - limit <= 1));
        }

        #[test]
        fn weights_order_as_shares_do(one in LEAST_SHARES..=MOST_SHARES, other in LEAST_SHARES..=MOST_SHARES) {
            prop_assert!(one > other || weight(one) <= weight(other));
            prop_assert!((1..=10_000).contains(&weight(one)));
            // A weight is coarser than shares: 26 of them make one.
            prop_assert!((shares_of_weight(weight(one)) - one).abs() <= 27);
        }
    }
}
