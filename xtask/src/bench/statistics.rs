//! The median of a few measurements, and their range.

/// The median and both ends.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Spread {
    pub(super) median: f64,
    pub(super) least: f64,
    pub(super) most: f64,
}

/// Of `values`, which may be in any order; none of none.
pub(super) fn spread(values: impl IntoIterator<Item = f64>) -> Option<Spread> {
    let mut values: Vec<f64> = values.into_iter().collect();
    values.sort_by(f64::total_cmp);
    let (least, most) = (*values.first()?, *values.last()?);
    let upper = *values.get(values.len() / 2)?;
    let lower = *values.get((values.len() - 1) / 2)?;
    Some(Spread { median: f64::midpoint(lower, upper), least, most })
}

impl Spread {
    /// `12.3 (11.0 to 14.9)`, or one number when there is no range to see.
    pub(super) fn text(self, decimals: usize) -> String {
        let [median, least, most] =
            [self.median, self.least, self.most].map(|value| format!("{value:.decimals$}"));
        if least == most { median } else { format!("{median} ({least} to {most})") }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_of_an_even_number_is_between_the_middle_two() {
        let even = spread([4.0, 1.0, 3.0, 2.0]);
        assert_eq!(even, Some(Spread { median: 2.5, least: 1.0, most: 4.0 }));
        assert_eq!(even.map(|spread| spread.text(1)).as_deref(), Some("2.5 (1.0 to 4.0)"));
        assert_eq!(spread([7.0]).map(|spread| spread.text(0)).as_deref(), Some("7"));
        assert_eq!(spread([]), None);
    }
}
