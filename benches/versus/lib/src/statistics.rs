//! Medians with their spread, and ratios pair by pair.

/// Median, least and greatest of some values.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Spread {
    pub median: f64,
    pub min: f64,
    pub max: f64,
}

/// Of values that need not be in order; `None` of none. The median of an even
/// count is the mean of the middle two.
pub fn spread(values: impl IntoIterator<Item = f64>) -> Option<Spread> {
    let mut sorted: Vec<f64> = values
        .into_iter()
        .filter(|value| value.is_finite())
        .collect();
    sorted.sort_by(f64::total_cmp);
    let (min, max) = (*sorted.first()?, *sorted.last()?);
    let half = sorted.len() / 2;
    let median = match sorted.len() % 2 {
        1 => sorted[half],
        _ => (sorted[half - 1] + sorted[half]) / 2.0,
    };
    Some(Spread { median, min, max })
}

/// Ratios of values to those of the same round, and their spread. Rounds that
/// only one of them has do not count.
pub fn paired(own: &[(usize, f64)], base: &[(usize, f64)]) -> Option<Spread> {
    let of_round = |round: usize| {
        base.iter()
            .find(|(r, _)| *r == round)
            .map(|(_, value)| *value)
    };
    let ratio = |(round, value): &(usize, f64)| {
        let base = of_round(*round)?;
        (base > 0.0).then(|| value / base)
    };
    spread(own.iter().filter_map(ratio))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn medians_of_odd_even_and_nothing() {
        let odd = spread([3.0, 1.0, 2.0]).unwrap();
        assert_eq!((odd.median, odd.min, odd.max), (2.0, 1.0, 3.0));
        assert_eq!(spread([4.0, 1.0, 2.0, 3.0]).unwrap().median, 2.5);
        assert_eq!(spread([f64::NAN]), None);
    }

    #[test]
    fn ratios_are_of_the_same_round() {
        let own = [(0, 10.0), (1, 30.0), (2, 99.0)];
        let base = [(1, 10.0), (0, 20.0)];
        let ratios = paired(&own, &base).unwrap();
        assert_eq!((ratios.min, ratios.max), (0.5, 3.0));
        assert_eq!(paired(&own, &[(0, 0.0)]), None);
    }
}
