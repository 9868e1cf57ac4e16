//! What a source's estimates are worth: prices, how wrong they were before, and which were made already.
//!
//! Separate from asking for them, which the session does as the person. An estimate is a range: the source's own number
//! times how far its numbers were exceeded before. Rules look at its upper end.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use passgate_policy::{Costs, Estimate, SourceName};

use crate::plan::Reading;

/// Estimates kept; each takes about 150 bytes.
const KEPT_MAX: u64 = 20_000;

/// Outcomes of statements that are compared with their estimates.
const SAMPLES_MAX: usize = 500;

/// With fewer, the source's numbers are trusted by [`FACTOR_UNTRIED`] only.
const SAMPLES_MIN: usize = 20;

/// How far a source that was never compared may be off.
const FACTOR_UNTRIED: f64 = 2.0;

/// No source is taken to be off by more.
const FACTOR_MAX: f64 = 1_000.0;

/// Of all outcomes, so many stay below the upper end.
const SHARE_COVERED: f64 = 0.9;

/// What a source charges.
#[derive(Clone, Copy, Debug, Default, PartialEq, serde::Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Price {
    /// United States dollars for 10^12 bytes read. Default: none; then no cost in dollars is known unless the other
    /// price is given.
    pub usd_per_terabyte: Option<f64>,
    /// United States dollars for a million of the planner's cost units (a unit is a page of 8 kB read in order). Adds to
    /// the other price. Default: none.
    pub usd_per_million_cost_units: Option<f64>,
}

impl Price {
    fn of(&self, reading: &Reading) -> Option<f64> {
        let bytes = self.usd_per_terabyte.map(|usd| usd * reading.bytes / 1e12);
        let units = self.usd_per_million_cost_units.map(|usd| usd * reading.cost_units / 1e6);
        match (bytes, units) {
            (None, None) => None,
            (bytes, units) => Some(bytes.unwrap_or(0.0) + units.unwrap_or(0.0)),
        }
    }
}

/// Which statement an estimate is of: digests of source, person, text and parameters.
pub type Key = [u8; 32];

/// Estimates of all sources.
pub struct Estimates {
    prices: BTreeMap<SourceName, Price>,
    made: moka::sync::Cache<Key, Option<Reading>>,
    outcomes: Mutex<BTreeMap<SourceName, VecDeque<f64>>>,
}

impl std::fmt::Debug for Estimates {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Estimates").field("made", &self.made.entry_count()).finish_non_exhaustive()
    }
}

impl Estimates {
    /// None were made yet. An estimate is believed for so long.
    pub fn new(prices: BTreeMap<SourceName, Price>, believed_for: Duration) -> Self {
        let made = moka::sync::Cache::builder().max_capacity(KEPT_MAX).time_to_live(believed_for).build();
        Self { prices, made, outcomes: Mutex::default() }
    }

    /// What was made of a statement before: a reading, or that the source could not tell.
    pub fn made(&self, key: &Key) -> Option<Option<Reading>> {
        self.made.get(key)
    }

    /// Keeps an estimate.
    pub fn keep(&self, key: Key, reading: Option<Reading>) {
        self.made.insert(key, reading);
    }

    /// A reading as rules see it: priced, and at the upper end of its range.
    pub fn judged(&self, source: &SourceName, reading: Option<Reading>) -> Estimate {
        let Some(reading) = reading else { return Estimate::Unknown };
        let factor = self.factor(source);
        let price = self.prices.get(source).and_then(|price| price.of(&reading));
        Estimate::Known(Costs {
            cost_usd: price.map(|usd| usd * factor),
            bytes: Some(reading.bytes * factor),
            rows: Some(reading.rows * factor),
            rows_of_largest_step: Some(reading.rows_of_largest_step),
            rows_read: Some(reading.rows_read),
        })
    }

    /// How far a source's estimates are exceeded at worst, but for the worst tenth.
    pub fn factor(&self, source: &SourceName) -> f64 {
        let outcomes = self.outcomes.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(ratios) = outcomes.get(source).filter(|ratios| ratios.len() >= SAMPLES_MIN) else {
            return FACTOR_UNTRIED;
        };
        let mut sorted: Vec<f64> = ratios.iter().copied().collect();
        sorted.sort_by(f64::total_cmp);
        #[allow(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            clippy::cast_precision_loss,
            reason = "an index below SAMPLES_MAX"
        )]
        let place = ((sorted.len() - 1) as f64 * SHARE_COVERED).ceil() as usize;
        sorted.get(place).copied().unwrap_or(FACTOR_UNTRIED).clamp(1.0, FACTOR_MAX)
    }

    /// Compares an estimate with what came of it: the rows that were answered.
    #[allow(clippy::cast_precision_loss, reason = "a ratio")]
    pub fn compare(&self, source: &SourceName, rows_estimated: f64, rows_answered: u64) {
        let ratio = (rows_answered as f64 + 1.0) / (rows_estimated + 1.0);
        let mut outcomes = self.outcomes.lock().unwrap_or_else(PoisonError::into_inner);
        let ratios = outcomes.entry(source.clone()).or_default();
        if ratios.len() >= SAMPLES_MAX {
            ratios.pop_front();
        }
        ratios.push_back(ratio);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reading(rows: f64) -> Reading {
        Reading { cost_units: 2e6, rows, bytes: 1e12, rows_of_largest_step: rows, rows_read: rows }
    }

    fn costs(estimates: &Estimates, source: &SourceName) -> Costs {
        match estimates.judged(source, Some(reading(100.0))) {
            Estimate::Known(costs) => costs,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_range_widens_with_how_wrong_the_source_was() {
        let source = SourceName::new("w");
        let price = Price { usd_per_terabyte: Some(5.0), usd_per_million_cost_units: Some(0.5) };
        let estimates = Estimates::new([(source.clone(), price)].into(), Duration::from_secs(60));
        assert_eq!(costs(&estimates, &source).cost_usd, Some(2.0 * 6.0));
        for _ in 0..SAMPLES_MIN {
            estimates.compare(&source, 10.0, 10);
        }
        assert_eq!(costs(&estimates, &source).rows, Some(100.0), "it was right so far");
        for _ in 0..SAMPLES_MIN {
            estimates.compare(&source, 9.0, 99);
        }
        assert_eq!(costs(&estimates, &source).rows, Some(1_000.0));
    }

    #[test]
    fn without_a_price_no_cost_is_known() {
        let source = SourceName::new("w");
        let estimates = Estimates::new(BTreeMap::new(), Duration::from_secs(60));
        assert_eq!(costs(&estimates, &source).cost_usd, None);
        assert_eq!(estimates.judged(&source, None), Estimate::Unknown);
    }

    #[test]
    fn what_was_made_is_kept() {
        let estimates = Estimates::new(BTreeMap::new(), Duration::from_secs(60));
        assert_eq!(estimates.made(&[1; 32]), None);
        estimates.keep([1; 32], None);
        assert_eq!(estimates.made(&[1; 32]), Some(None));
    }
}
