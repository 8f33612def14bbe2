//! What somebody may have meant by a word that nobody knows.

/// Of longer words, only the beginning counts.
const LONGEST: usize = 64;

/// The word that was probably meant: the same but for capitals, or with a letter or two amiss.
pub fn nearest<'a>(word: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let limit = match word.chars().take(LONGEST).count() {
        0..=2 => 0,
        3..=5 => 1,
        6..=10 => 2,
        _ => 3,
    };
    let (lower, length) = (word.to_lowercase(), word.chars().take(LONGEST).count());
    known
        .into_iter()
        .filter(|candidate| candidate.chars().take(LONGEST).count().abs_diff(length) <= limit)
        .map(|candidate| (distance(&lower, &candidate.to_lowercase()), candidate))
        .filter(|(distance, candidate)| *distance <= limit && *candidate != word)
        .min()
        .map(|(_, candidate)| candidate)
}

/// How many letters are missing, too many, other, or swapped with their neighbour.
fn distance(one: &str, other: &str) -> usize {
    let (one, other): (Vec<char>, Vec<char>) = (one.chars().take(LONGEST).collect(), other.chars().take(LONGEST).collect());
    if one.len().abs_diff(other.len()) > 3 {
        return usize::MAX;
    }
    let mut rows = vec![(0..=other.len()).collect::<Vec<usize>>()];
    for i in 1..=one.len() {
        let mut row = vec![i];
        for j in 1..=other.len() {
            let change = usize::from(one[i - 1] != other[j - 1]);
            let mut best = (rows[i - 1][j] + 1).min(row[j - 1] + 1).min(rows[i - 1][j - 1] + change);
            if i > 1 && j > 1 && one[i - 1] == other[j - 2] && one[i - 2] == other[j - 1] {
                best = best.min(rows[i - 2][j - 2] + 1);
            }
            row.push(best);
        }
        rows.push(row);
    }
    rows[one.len()][other.len()]
}

#[cfg(test)]
mod tests {
    use super::nearest;

    #[test]
    fn slips_are_recognised_and_other_words_left_alone() {
        let known = ["minReplicaCount", "maxReplicaCount", "triggers", "cpu"];
        for (word, meant) in [
            ("minReplicas", None),
            ("minReplicaConut", Some("minReplicaCount")),
            ("MaxReplicaCount", Some("maxReplicaCount")),
            ("trigers", Some("triggers")),
            ("cpus", Some("cpu")),
            ("gpu", Some("cpu")),
            ("c", None),
            ("foo", None),
            ("triggers", None),
        ] {
            assert_eq!(nearest(word, known), meant, "{word}");
        }
    }
}
