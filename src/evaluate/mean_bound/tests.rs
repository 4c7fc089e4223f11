use super::*;

fn near(found: f64, expected: f64, within: f64) {
    assert!((found - expected).abs() < within, "{found}, expected {expected}");
}

#[test]
fn without_spread_the_bound_is_what_so_few_samples_can_say() {
    // The chance to miss a share p at the far end in n draws is (1 - p)^n. Two values and a large
    // alpha are the hardest for the integral, whose pole is then near: 3e-7.
    for n in [1usize, 2, 5, 29, 200, 1000] {
        for alpha in [0.01, 0.05, 0.3] {
            let share = 1.0 - f64::powf(alpha, 1.0 / n as f64);
            near(upper(&vec![-1.0; n], alpha), 2.0 * share - 1.0, 1e-6);
            near(lower(&vec![0.0; n], alpha), -share, 1e-6);
        }
    }
    assert_eq!(upper(&[1.0, 1.0], 0.05), 1.0);
}

#[test]
fn for_two_values_the_bound_is_clopper_and_pearsons() {
    // scipy 1.17.1, beta.ppf(1 - alpha, hits + 1, samples - hits).
    for (hits, samples, alpha, expected) in [
        (3usize, 10usize, 0.05, 0.606_624_216_105_412_3),
        (1, 2, 0.05, 0.974_679_434_480_896_3),
        (50, 200, 0.05, 0.305_467_356_649_193_8),
        (7, 1000, 0.025, 0.014_369_194_978_918_6),
        (199, 200, 0.05, 0.999_743_566_412_776_5),
    ] {
        let values: Vec<f64> = (0..samples).map(|i| if i < hits { 1.0 } else { -1.0 }).collect();
        near(upper(&values, alpha), 2.0 * expected - 1.0, 1e-7);
    }
}

#[test]
fn for_other_values_the_bound_is_the_quantile_of_the_randomly_weighed_mean() {
    // numpy, five million draws of exponential weights: to about 3e-4.
    let values = [0.3, -0.2, 0.05, 0.0, 0.9, -0.7, 0.1];
    for (alpha, above, below) in
        [(0.05, 0.477_6, -0.376_1), (0.1, 0.409_2, -0.304_5), (0.025, 0.535_6, -0.437_6)]
    {
        near(upper(&values, alpha), above, 1e-3);
        near(lower(&values, alpha), below, 1e-3);
    }
}

#[test]
fn order_does_not_matter_and_a_larger_value_never_lowers_the_bound() {
    let mut values: Vec<f64> = (0..40).map(|i| f64::from(i * 37 % 41) / 41.0 - 0.4).collect();
    let bound = upper(&values, 0.05);
    values.reverse();
    near(upper(&values, 0.05), bound, 1e-7);
    values[11] += 0.3;
    assert!(upper(&values, 0.05) > bound);
}
