//! The kinds of metrics: how each is described, and how a handle is resolved.

use metrics::{Counter, Gauge, Histogram, counter, gauge, histogram};

/// A kind of metric, for the table.
pub(super) trait Kind: Sized {
    /// Tells the recorder what a metric means.
    fn describe(name: &'static str, meaning: &'static str);
    /// Resolves the handle of a series.
    fn resolve(name: &'static str, labels: &[(&'static str, &'static str)]) -> Self;
}

macro_rules! kinds {
    ($($kind:ident: $describe:path, $resolve:ident;)*) => {$(
        impl Kind for $kind {
            fn describe(name: &'static str, meaning: &'static str) {
                $describe!(name, meaning);
            }

            fn resolve(name: &'static str, labels: &[(&'static str, &'static str)]) -> Self {
                $resolve!(name, labels)
            }
        }
    )*};
}

kinds! {
    Counter: metrics::describe_counter, counter;
    Gauge: metrics::describe_gauge, gauge;
    Histogram: metrics::describe_histogram, histogram;
}
