//! The distribution of response times of one route on one shard.
//!
//! An HdrHistogram with 2 significant digits between 1 µs and 60 s: a quantile
//! is at most 0.8 % over the true one. Shorter times are told apart to 8 ns;
//! longer ones count as 60 s. It is a fixed 27 KiB per route and shard,
//! allocated at the route's first request.

use hdrhistogram::Histogram;

/// Response times in nanoseconds. Empty until the first is recorded.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Latency(Option<Box<Histogram<u64>>>);

impl Latency {
    /// Adds one response time.
    #[inline]
    pub(super) fn record(&mut self, duration_ns: u64) {
        match &mut self.0 {
            Some(histogram) => histogram.saturating_record(duration_ns),
            None => self.allocate().saturating_record(duration_ns),
        }
    }

    #[cold]
    fn allocate(&mut self) -> &mut Histogram<u64> {
        self.0.insert(Box::new(
            Histogram::new_with_bounds(RESOLUTION_NS, LATENCY_NS_MAX, SIGNIFICANT_DIGITS)
                .expect("constant bounds that a test checks"),
        ))
    }

    /// How many response times there are.
    pub fn count(&self) -> u64 {
        self.0.as_ref().map_or(0, |histogram| histogram.len())
    }

    /// The time in nanoseconds that a fraction `quantile` (0 to 1) of all
    /// responses did not exceed, rounded up by at most 0.8 %; 0 when empty.
    pub fn quantile_ns(&self, quantile: f64) -> u64 {
        self.0
            .as_ref()
            .map_or(0, |histogram| histogram.value_at_quantile(quantile))
    }

    /// The longest time in nanoseconds, rounded up by at most 0.8 %.
    pub fn max_ns(&self) -> u64 {
        self.0.as_ref().map_or(0, |histogram| histogram.max())
    }

    /// Adds every time of another.
    pub(super) fn add(&mut self, other: &Self) {
        match (&mut self.0, &other.0) {
            (_, None) => {}
            (Some(histogram), Some(more)) => {
                histogram
                    .add(more.as_ref())
                    .expect("all histograms have the same bounds");
            }
            (none, Some(more)) => *none = Some(more.clone()),
        }
    }

    /// For each upper bound in nanoseconds, ascending: how many times were
    /// at most that. A time is judged by the middle of its histogram cell, so
    /// it always falls on the same side and the counts never go down.
    pub fn cumulative_counts<const N: usize>(&self, upper_bounds_ns: &[u64; N]) -> [u64; N] {
        let mut counts = [0; N];
        let Some(histogram) = &self.0 else {
            return counts;
        };
        for cell in histogram.iter_recorded() {
            let middle = histogram.median_equivalent(cell.value_iterated_to());
            let first = upper_bounds_ns.partition_point(|&bound| bound < middle);
            for count in &mut counts[first..] {
                *count += cell.count_at_value();
            }
        }
        counts
    }
}

/// Times that differ by less are not told apart. 8 ns keeps two significant
/// digits down to 1 µs.
const RESOLUTION_NS: u64 = 8;
/// Longer times count as this.
const LATENCY_NS_MAX: u64 = 60_000_000_000;
const SIGNIFICANT_DIGITS: u8 = 2;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Times between 1 µs and 60 s, evenly over the orders of magnitude.
    fn durations_ns() -> impl Strategy<Value = u64> {
        (1_000_f64.ln()..6e10_f64.ln())
            .prop_map(|ln| (ln.exp() as u64).clamp(1_000, LATENCY_NS_MAX))
    }

    #[test]
    fn one_histogram_is_as_large_as_documented() {
        let mut latency = Latency::default();
        latency.record(1);
        let cells = latency.0.as_ref().map_or(0, |h| h.distinct_values());
        let bytes = cells * size_of::<u64>();
        assert!(bytes <= 27 * 1024, "{bytes} bytes");
    }

    #[test]
    fn times_out_of_bounds_saturate_instead_of_being_lost() {
        let mut latency = Latency::default();
        latency.record(0);
        latency.record(u64::MAX);
        assert_eq!(latency.count(), 2);
        assert!(latency.max_ns() >= LATENCY_NS_MAX);
        assert!(latency.max_ns() <= LATENCY_NS_MAX + LATENCY_NS_MAX / 100);
    }

    #[test]
    fn nothing_recorded_is_zero_everywhere() {
        let latency = Latency::default();
        assert_eq!(
            (latency.count(), latency.quantile_ns(0.99), latency.max_ns()),
            (0, 0, 0)
        );
        assert_eq!(latency.cumulative_counts(&[1, 2]), [0, 0]);
    }

    proptest! {
        #[test]
        fn a_quantile_is_the_exact_one_rounded_up_by_at_most_a_hundredth(
            mut times in prop::collection::vec(durations_ns(), 1..400),
            quantile in 0.0..=1.0_f64,
        ) {
            let mut latency = Latency::default();
            for &time in &times {
                latency.record(time);
            }
            times.sort_unstable();
            let rank = ((quantile * times.len() as f64).ceil() as usize).clamp(1, times.len());
            let exact = times[rank - 1];
            let told = latency.quantile_ns(quantile);
            prop_assert!(told >= exact, "told {told}, exact {exact}");
            prop_assert!(told - exact <= exact / 100, "told {told}, exact {exact}");
        }

        #[test]
        fn cumulative_counts_are_right_up_to_the_resolution(
            times in prop::collection::vec(durations_ns(), 0..200),
        ) {
            const BOUNDS: [u64; 4] = [100_000, 1_000_000, 100_000_000, u64::MAX];
            let mut latency = Latency::default();
            for &time in &times {
                latency.record(time);
            }
            let counts = latency.cumulative_counts(&BOUNDS);
            prop_assert_eq!(counts[3], times.len() as u64);
            prop_assert!(counts.is_sorted());
            for (bound, count) in BOUNDS.into_iter().zip(counts) {
                let at_most = |limit: u64| times.iter().filter(|&&t| t <= limit).count() as u64;
                prop_assert!(count >= at_most(bound - bound / 100));
                prop_assert!(count <= at_most(bound.saturating_add(bound / 100)));
            }
        }
    }
}
