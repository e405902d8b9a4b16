//! Scales of a plot: where a value lies on an axis, and which values are written beside it.
//!
//! Pure arithmetic. Whatever is not finite, or not positive on a logarithmic axis, lies nowhere, so
//! that no plot ever shows it.

/// How values lie on an axis.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Scale {
    /// From zero.
    Linear,
    /// Whole decades.
    Log,
    /// Quantiles from 0 to 1, each further nine as wide as the one before.
    Percentile,
}

/// An axis with its label, unit included.
#[derive(Clone, Debug)]
pub(super) struct Axis {
    pub(super) label: &'static str,
    pub(super) scale: Scale,
}

/// An axis fitted to its values.
pub(super) struct Fitted {
    scale: Scale,
    /// In the scale's own measure.
    low: f64,
    high: f64,
}

/// A value written beside an axis.
pub(super) struct Tick {
    pub(super) value: f64,
    /// Empty: only a line.
    pub(super) label: String,
}

/// The nines up to which percentiles are shown.
const NINES_MAX: f64 = 6.0;

impl Scale {
    /// Where a value lies in the scale's own measure; `None`: nowhere.
    fn measure(self, value: f64) -> Option<f64> {
        let measure = match self {
            Self::Linear => value,
            Self::Log => value.log10(),
            Self::Percentile => (-(1.0 - value.clamp(0.0, 1.0)).log10()).min(NINES_MAX),
        };
        measure.is_finite().then_some(measure)
    }
}

impl Axis {
    pub(super) fn new(label: &'static str, scale: Scale) -> Self {
        Self { label, scale }
    }

    /// Fits the axis to these values; `None` if none of them can be shown.
    pub(super) fn fit(&self, values: impl Iterator<Item = f64>) -> Option<Fitted> {
        let measures: Vec<f64> = values.filter_map(|value| self.scale.measure(value)).collect();
        let low = measures.iter().copied().reduce(f64::min)?;
        let high = measures.iter().copied().reduce(f64::max)?;
        let (low, high) = match self.scale {
            Scale::Linear => (low.min(0.0), nice_end(high)),
            Scale::Log => (low.floor(), high.ceil().max(low.floor() + 1.0)),
            Scale::Percentile => (0.0, high.max(2.0)),
        };
        Some(Fitted { scale: self.scale, low, high })
    }
}

impl Fitted {
    /// Where a value lies, from 0 to 1; `None`: nowhere.
    pub(super) fn place(&self, value: f64) -> Option<f64> {
        let measure = self.scale.measure(value)?;
        Some(((measure - self.low) / (self.high - self.low)).clamp(0.0, 1.0))
    }

    /// The values to write, ascending.
    pub(super) fn ticks(&self) -> Vec<Tick> {
        match self.scale {
            Scale::Linear => self.linear_ticks(),
            Scale::Log => self.log_ticks(),
            Scale::Percentile => self.percentile_ticks(),
        }
    }

    fn linear_ticks(&self) -> Vec<Tick> {
        let step = nice_step(self.high - self.low);
        let (first, last) = ((self.low / step).ceil() as i64, (self.high / step + 1e-9).floor() as i64);
        let ticks = (first..=last).map(|index| index as f64 * step);
        ticks.map(|value| Tick { value, label: short(value) }).collect()
    }

    fn log_ticks(&self) -> Vec<Tick> {
        let (first, last) = (self.low as i32, self.high as i32);
        let is_short = last - first <= 2;
        let mut ticks = Vec::new();
        for decade in first..=last {
            let digits = if decade == last { 1..=1 } else { 1..=9 };
            for digit in digits {
                let value = f64::from(digit) * 10_f64.powi(decade);
                let is_named = digit == 1 || (is_short && matches!(digit, 2 | 5));
                ticks.push(Tick { value, label: if is_named { short(value) } else { String::new() } });
            }
        }
        ticks
    }

    fn percentile_ticks(&self) -> Vec<Tick> {
        let named = [0.0, 0.5, 0.9, 0.99, 0.999, 0.9999, 0.99999, 0.999999];
        let within = named.into_iter().filter(|&quantile| {
            self.scale.measure(quantile).is_some_and(|measure| measure <= self.high + 1e-9)
        });
        within.map(|value| Tick { value, label: short(value * 100.0) }).collect()
    }
}

/// The next round value at or above the greatest one.
fn nice_end(high: f64) -> f64 {
    if high <= 0.0 {
        return 1.0;
    }
    let step = nice_step(high);
    (high / step - 1e-9).ceil() * step
}

/// A step of 1, 2 or 5 times a power of ten that makes four to eight of them.
fn nice_step(range: f64) -> f64 {
    let rough = (range / 6.0).max(f64::MIN_POSITIVE);
    let power = 10_f64.powf(rough.log10().floor());
    let digit = match rough / power {
        ratio if ratio < 1.5 => 1.0,
        ratio if ratio < 3.0 => 2.0,
        ratio if ratio < 7.0 => 5.0,
        _ => 10.0,
    };
    digit * power
}

/// A number in few characters: at most six digits, thousands as k, millions as M.
pub(super) fn short(value: f64) -> String {
    let (value, suffix) = match value.abs() {
        size if !size.is_finite() => return "–".into(),
        size if size >= 1e9 => (value / 1e9, "G"),
        size if size >= 1e6 => (value / 1e6, "M"),
        size if size >= 1e4 => (value / 1e3, "k"),
        _ => (value, ""),
    };
    let text = format!("{value:.5}");
    let text = text.trim_end_matches('0').trim_end_matches('.');
    format!("{text}{suffix}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_further_nine_is_as_wide_as_the_one_before() {
        let axis = Axis::new("percentile", Scale::Percentile);
        let fitted = axis.fit([0.0, 0.9999].into_iter()).expect("the values are finite");
        let places: Vec<f64> =
            [0.0, 0.9, 0.99, 0.999, 0.9999].iter().filter_map(|&quantile| fitted.place(quantile)).collect();
        for (place, expected) in places.iter().zip([0.0, 0.25, 0.5, 0.75, 1.0]) {
            assert!((place - expected).abs() < 1e-6, "{places:?}");
        }
    }

    #[test]
    fn ticks_lie_within_the_axis_and_are_named() {
        for (scale, values) in [
            (Scale::Linear, vec![0.0, 123_456.0]),
            (Scale::Linear, vec![0.0]),
            (Scale::Log, vec![0.25, 740.0]),
            (Scale::Log, vec![1.0]),
            (Scale::Percentile, vec![0.5, 1.0]),
        ] {
            let fitted = Axis::new("x", scale).fit(values.iter().copied()).expect("the values are finite");
            let ticks = fitted.ticks();
            assert!(ticks.iter().filter(|tick| !tick.label.is_empty()).count() >= 2, "{scale:?} {values:?}");
            assert!(ticks.iter().all(|tick| fitted.place(tick.value).is_some()));
        }
    }

    #[test]
    fn what_cannot_be_shown_lies_nowhere() {
        let log = Axis::new("x", Scale::Log);
        assert!(log.fit([0.0, -1.0, f64::NAN].into_iter()).is_none());
        let fitted = log.fit([1.0, 10.0].into_iter()).expect("the values are positive");
        assert_eq!(fitted.place(0.0), None);
        assert_eq!(fitted.place(f64::NAN), None);
    }
}
