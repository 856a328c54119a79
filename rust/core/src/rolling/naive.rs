//! What the kernel must give, a line a statistic: the oracle of its tests.

use super::Window;

/// Mean, std, min and max of the windows that end at each of `values`.
pub(super) fn naive(values: &[f64], window: Window) -> [Vec<f64>; 4] {
    let rows = |end: usize| &values[(end + 1).saturating_sub(window.rows)..=end];
    let present = |end| rows(end).iter().copied().filter(|value| !value.is_nan()).collect::<Vec<_>>();
    let over = |statistic: fn(&[f64]) -> f64| {
        let one = |v: Vec<f64>| if v.len() < window.min_samples { f64::NAN } else { statistic(&v) };
        (0..values.len()).map(present).map(one).collect()
    };
    [over(mean), over(std), over(min), over(max)]
}

fn mean(v: &[f64]) -> f64 {
    if v.iter().all(|x| x.is_finite()) { exact_mean(v).0 } else { v.iter().filter(|x| x.is_infinite()).sum() }
}

fn std(v: &[f64]) -> f64 {
    if v.len() < 2 || v.iter().any(|x| x.is_infinite()) { f64::NAN } else { exact_std(v) }
}

fn min(v: &[f64]) -> f64 {
    v.iter().copied().fold(f64::INFINITY, f64::min)
}

fn max(v: &[f64]) -> f64 {
    v.iter().copied().fold(f64::NEG_INFINITY, f64::max)
}

/// A number of some 106 bits as the sum of two floats (Dekker 1971).
type Double = (f64, f64);

fn sum_of(a: f64, b: f64) -> Double {
    let sum = a + b;
    let part = sum - a;
    (sum, (a - (sum - part)) + (b - part))
}

fn plus(a: Double, b: Double) -> Double {
    let (high, low) = sum_of(a.0, b.0);
    sum_of(high, low + a.1 + b.1)
}

fn square(a: Double) -> Double {
    let high = a.0 * a.0;
    sum_of(high, a.0.mul_add(a.0, -high) + 2.0 * a.0 * a.1)
}

fn over(a: Double, n: f64) -> Double {
    let high = a.0 / n;
    sum_of(high, (high.mul_add(-n, a.0) + a.1) / n)
}

fn exact_mean(v: &[f64]) -> Double {
    over(v.iter().fold((0.0, 0.0), |sum, x| plus(sum, (*x, 0.0))), v.len() as f64)
}

fn exact_std(v: &[f64]) -> f64 {
    let mean = exact_mean(v);
    let off = |x: f64| square(plus((x, 0.0), (-mean.0, -mean.1)));
    over(v.iter().fold((0.0, 0.0), |sum, x| plus(sum, off(*x))), v.len() as f64 - 1.0).0.sqrt()
}
