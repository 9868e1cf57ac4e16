//! Counts failed sign-ins per address and per person.
//!
//! Separate because it is the only state that outlives an exchange. A sliding window of the last failures is kept for
//! each address and each name; both tables are bounded. Only failures count, so a tool that opens fifty connections
//! with the right password is never in the way. What is refused *because* of the limit is not counted again:
//! otherwise whoever keeps knocking could lock a person out for good.

use std::collections::{HashMap, VecDeque};
use std::hash::Hash;
use std::net::IpAddr;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use aws_lc_rs::digest;
use tokio::time::Instant;

use super::Config;

/// The failures of late.
#[derive(Debug)]
pub(super) struct Attempts {
    window: Duration,
    per_address: usize,
    per_person: usize,
    tables: Mutex<Tables>,
}

#[derive(Debug)]
struct Tables {
    addresses: Table<[u8; 16]>,
    people: Table<Vec<u8>>,
}

impl Attempts {
    pub(super) fn new(config: &Config) -> Self {
        Self {
            window: Duration::from_secs(config.window_seconds),
            per_address: config.attempts_per_address,
            per_person: config.attempts_per_person,
            tables: Mutex::new(Tables {
                addresses: Table::new(config.tracked_max),
                people: Table::new(config.tracked_max),
            }),
        }
    }

    /// Why this address or this name may not try now, where that is so.
    pub(super) fn limited(&self, now: Instant, address: IpAddr, user: &str) -> Option<String> {
        let mut tables = self.tables.lock().unwrap_or_else(PoisonError::into_inner);
        if tables.addresses.recent(&network(address), now, self.window) >= self.per_address {
            return Some(format!("too many failed sign-ins from {address}"));
        }
        if tables.people.recent(&person(user), now, self.window) >= self.per_person {
            return Some("too many failed sign-ins for this name".to_owned());
        }
        None
    }

    /// Counts a failure.
    pub(super) fn failed(&self, now: Instant, address: IpAddr, user: &str) {
        let mut tables = self.tables.lock().unwrap_or_else(PoisonError::into_inner);
        tables.addresses.push(network(address), now, self.window, self.per_address);
        tables.people.push(person(user), now, self.window, self.per_person);
    }
}

/// Failures by key, oldest first, never more keys than `keys_max`.
#[derive(Debug)]
struct Table<Key> {
    failures: HashMap<Key, VecDeque<Instant>>,
    keys_max: usize,
}

impl<Key: Eq + Hash + Clone> Table<Key> {
    fn new(keys_max: usize) -> Self {
        Self { failures: HashMap::new(), keys_max }
    }

    fn recent(&mut self, key: &Key, now: Instant, window: Duration) -> usize {
        let Some(times) = self.failures.get_mut(key) else { return 0 };
        while times.front().is_some_and(|time| now.duration_since(*time) >= window) {
            times.pop_front();
        }
        if times.is_empty() {
            self.failures.remove(key);
            return 0;
        }
        times.len()
    }

    fn push(&mut self, key: Key, now: Instant, window: Duration, kept: usize) {
        if !self.failures.contains_key(&key) && self.failures.len() >= self.keys_max {
            self.make_room(now, window);
        }
        let times = self.failures.entry(key).or_default();
        times.push_back(now);
        while times.len() > kept {
            times.pop_front();
        }
    }

    /// Forgets what has left the window and, if that is not enough, the key that failed longest ago. A flood of made-up
    /// names can therefore wash out an old count, but only as fast as the limit per address lets it.
    fn make_room(&mut self, now: Instant, window: Duration) {
        self.failures.retain(|_, times| times.back().is_some_and(|time| now.duration_since(*time) < window));
        if self.failures.len() < self.keys_max {
            return;
        }
        let oldest = self.failures.iter().min_by_key(|(_, times)| times.back().copied()).map(|(key, _)| key.clone());
        if let Some(key) = oldest {
            self.failures.remove(&key);
        }
    }
}

/// An IPv6 customer usually holds a whole /64, so that is what counts as one address.
fn network(address: IpAddr) -> [u8; 16] {
    match address.to_canonical() {
        IpAddr::V4(four) => four.to_ipv6_mapped().octets(),
        IpAddr::V6(six) => (u128::from(six) >> 64 << 64).to_be_bytes(),
    }
}

/// A name as long as a start-up packet takes no more room than a short one.
fn person(user: &str) -> Vec<u8> {
    digest::digest(&digest::SHA256, user.as_bytes()).as_ref().to_vec()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn attempts(per_address: usize, per_person: usize, tracked_max: usize) -> Attempts {
        Attempts::new(&Config {
            attempts_per_address: per_address,
            attempts_per_person: per_person,
            window_seconds: 60,
            tracked_max,
            ..Config::default()
        })
    }

    const HERE: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(192, 0, 2, 1));
    const THERE: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(192, 0, 2, 2));

    #[test]
    fn a_person_is_limited_from_every_address_and_the_window_slides() {
        let attempts = attempts(100, 2, 10);
        let start = Instant::now();
        let after = |seconds| start + Duration::from_secs(seconds);
        attempts.failed(start, HERE, "alice");
        attempts.failed(after(30), THERE, "alice");
        assert!(attempts.limited(after(59), HERE, "alice").is_some());
        assert!(attempts.limited(after(59), HERE, "bob").is_none());
        assert!(attempts.limited(after(60), HERE, "alice").is_none(), "the first failure has left the window");
    }

    #[test]
    fn an_address_is_limited_whatever_the_name() {
        let attempts = attempts(2, 100, 10);
        let now = Instant::now();
        attempts.failed(now, HERE, "alice");
        attempts.failed(now, HERE, "bob");
        assert!(attempts.limited(now, HERE, "carol").is_some());
        assert!(attempts.limited(now, THERE, "carol").is_none());
    }

    #[test]
    fn addresses_of_one_ipv6_network_count_as_one_and_mapped_ones_as_ipv4() {
        let parse = |text: &str| network(text.parse().unwrap());
        assert_eq!(parse("2001:db8::1"), parse("2001:db8::ffff:1"));
        assert_ne!(parse("2001:db8::1"), parse("2001:db8:0:1::1"));
        assert_eq!(parse("::ffff:192.0.2.1"), parse("192.0.2.1"));
    }

    #[test]
    fn the_tables_stay_bounded_and_forget_the_oldest_first() {
        let attempts = attempts(1, 1, 3);
        let start = Instant::now();
        let after = |number: u8| start + Duration::from_millis(number.into());
        for number in 0..50_u8 {
            attempts.failed(after(number), IpAddr::from([10, 0, 0, number]), &format!("person {number}"));
        }
        let tables = attempts.tables.lock().unwrap();
        assert_eq!((tables.addresses.failures.len(), tables.people.failures.len()), (3, 3));
        drop(tables);
        assert!(attempts.limited(after(50), THERE, "person 49").is_some());
        assert!(attempts.limited(after(50), THERE, "person 0").is_none());
    }
}
