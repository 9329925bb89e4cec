//! Which answers of several heads may stand together, and what follows for their probabilities.

use super::Schema;

/// All combinations of answers, one a head, that no `[[never]]` of the schema forbids.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Combinations(Vec<Vec<usize>>);

/// Combinations that are gone through for a sentence, at most.
pub(super) const MAX_COMBINATIONS: usize = 1 << 16;

impl Combinations {
    /// Those of a schema; none if it forbids nothing, so that every head answers for itself.
    pub fn of(schema: &Schema) -> Option<Combinations> {
        if schema.never.is_empty() {
            return None;
        }
        let mut all = vec![Vec::new()];
        for head in &schema.heads {
            let longer = |one: Vec<usize>| (0..head.classes.len()).map(move |class| [&one[..], &[class]].concat());
            all = all.into_iter().flat_map(longer).collect();
        }
        all.retain(|one| !schema.forbids(|head| Some(one[head])));
        Some(Combinations(all))
    }

    /// Probabilities of each head (one vector of its classes) given that the answers of all form one of these combinations, and the most
    /// probable of them; of equals the first.
    ///
    /// The heads know nothing of each other: a combination is as probable as the product of its answers' probabilities, the forbidden
    /// ones are struck out, and an answer gets the sum over what is left. Where nothing is left, the heads stay as they are, and there is no best.
    pub fn condition(&self, heads: &mut [Vec<f32>]) -> Option<&[usize]> {
        let mut sums: Vec<Vec<f64>> = heads.iter().map(|head| vec![0.0; head.len()]).collect();
        let (mut total, mut best) = (0.0, (0.0, None));
        for one in &self.0 {
            let p: f64 = heads.iter().zip(one).map(|(head, class)| f64::from(head[*class])).product();
            sums.iter_mut().zip(one).for_each(|(sums, class)| sums[*class] += p);
            total += p;
            if p > best.0 {
                best = (p, Some(one.as_slice()));
            }
        }
        if total > 0.0 {
            for (head, sums) in heads.iter_mut().zip(sums) {
                head.iter_mut().zip(sums).for_each(|(p, sum)| *p = (sum / total) as f32);
            }
        }
        best.1
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::path::Path;

    fn schema(never: &str) -> Schema {
        let head = |name: &str| {
            let class = |c: &str| format!("[[head.class]]\nname='{c}'\ndefinition=''\n");
            format!("[[head]]\nname='{name}'\nquestion='?'\n{}{}{}", class("x"), class("y"), class("z"))
        };
        Schema::parse(&format!("version = 1\n{}{}{never}", head("a"), head("b")), Path::new("s.toml")).unwrap()
    }

    #[test]
    fn what_is_forbidden_has_no_part_in_the_probabilities() {
        let schema = schema("[[never]]\na=['x']\nb=['y', 'z']\n[[never]]\na=['y','z']\nb=['x']\n");
        let combinations = Combinations::of(&schema).unwrap();
        assert_eq!(combinations.0, [vec![0, 0], vec![1, 1], vec![1, 2], vec![2, 1], vec![2, 2]]);
        // Alone head a would say x; what b says makes it y.
        let mut heads = [vec![0.5, 0.4, 0.1], vec![0.1, 0.6, 0.3]];
        assert_eq!(combinations.condition(&mut heads), Some(&[1, 1][..]));
        let total = 0.5 * 0.1 + (0.4 + 0.1) * (0.6 + 0.3);
        let expected = [[0.05, 0.36, 0.09], [0.05, 0.3, 0.15]].map(|head| head.map(|p: f32| p / total));
        for (found, expected) in heads.iter().flatten().zip(expected.iter().flatten()) {
            assert!((found - expected).abs() < 1e-6, "{heads:?}");
        }
    }

    #[test]
    fn a_schema_that_forbids_nothing_has_none() {
        assert_eq!(Combinations::of(&schema("")), None);
    }

    proptest! {
        #[test]
        fn probabilities_stay_probabilities(
            a in prop::array::uniform3(0.0f32..1.0), b in prop::array::uniform3(0.0f32..1.0),
        ) {
            let schema = schema("[[never]]\na=['x']\nb=['y']\n");
            let mut heads = [a.to_vec(), b.to_vec()];
            let combinations = Combinations::of(&schema).unwrap();
            let best = combinations.condition(&mut heads);
            prop_assert!(best.is_none_or(|best| best != [0, 1]));
            for head in &heads {
                let sum: f32 = head.iter().sum();
                prop_assert!(a.iter().sum::<f32>() == 0.0 || b.iter().sum::<f32>() == 0.0 || (sum - 1.0).abs() < 1e-5, "{heads:?}");
            }
        }
    }
}
