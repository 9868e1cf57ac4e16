//! Whether a condition holds, where not everything is known.
//!
//! Separate from the tests so that the laws of combining stand in one place: what decides wins over what is open, and
//! what can still be found out comes before what cannot be known.

/// Whether a condition holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Truth {
    False,
    True,
    /// It cannot be known, and why. What restricts acts as if it were true, what grants as if it were false.
    Unknown(String),
    /// It depends on an estimate that was not made yet.
    NeedsEstimate,
}

impl Truth {
    /// Whether all hold. One that does not decides; the others are not looked at.
    pub(crate) fn all(parts: impl IntoIterator<Item = Self>) -> Self {
        Self::fold(parts, &Self::False, Self::True)
    }

    /// Whether any holds. One that does decides; the others are not looked at.
    pub(crate) fn any(parts: impl IntoIterator<Item = Self>) -> Self {
        Self::fold(parts, &Self::True, Self::False)
    }

    fn fold(parts: impl IntoIterator<Item = Self>, decisive: &Self, neutral: Self) -> Self {
        let mut so_far = neutral;
        for part in parts {
            if part == *decisive {
                return part;
            }
            so_far = so_far.with(part);
        }
        so_far
    }

    /// Two of which neither decides.
    fn with(self, other: Self) -> Self {
        match (self, other) {
            (Self::NeedsEstimate, _) | (_, Self::NeedsEstimate) => Self::NeedsEstimate,
            (Self::Unknown(why), _) | (_, Self::Unknown(why)) => Self::Unknown(why),
            (one, Self::True | Self::False) => one,
        }
    }
}

impl std::ops::Not for Truth {
    type Output = Self;

    fn not(self) -> Self {
        match self {
            Self::False => Self::True,
            Self::True => Self::False,
            open @ (Self::Unknown(_) | Self::NeedsEstimate) => open,
        }
    }
}

impl From<bool> for Truth {
    fn from(holds: bool) -> Self {
        if holds { Self::True } else { Self::False }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn each() -> [Truth; 4] {
        [Truth::False, Truth::True, Truth::Unknown("why".to_owned()), Truth::NeedsEstimate]
    }

    fn and(a: &Truth, b: &Truth) -> Truth {
        Truth::all([a.clone(), b.clone()])
    }

    fn or(a: &Truth, b: &Truth) -> Truth {
        Truth::any([a.clone(), b.clone()])
    }

    #[test]
    fn the_laws_of_logic_hold() {
        for a in &each() {
            assert_eq!(!!a.clone(), *a);
            assert_eq!(and(a, a), *a);
            assert_eq!(or(a, a), *a);
            assert_eq!((and(a, &Truth::True), or(a, &Truth::False)), (a.clone(), a.clone()), "neutral");
            assert_eq!((and(a, &Truth::False), or(a, &Truth::True)), (Truth::False, Truth::True), "decisive");
            for b in &each() {
                assert_eq!(and(a, b), and(b, a));
                assert_eq!(or(a, b), or(b, a));
                assert_eq!(!and(a, b), or(&!a.clone(), &!b.clone()), "De Morgan: {a:?}, {b:?}");
                assert!(and(a, &or(a, b)) == *a || *b == Truth::NeedsEstimate, "absorbed: {a:?}, {b:?}");
                for c in &each() {
                    assert_eq!(and(&and(a, b), c), and(a, &and(b, c)));
                    assert_eq!(or(&or(a, b), c), or(a, &or(b, c)));
                }
            }
        }
    }

    #[test]
    fn what_decides_is_not_looked_past() {
        let unasked = std::iter::from_fn(|| panic!("looked at what cannot matter"));
        assert_eq!(Truth::all(std::iter::once(Truth::False).chain(unasked)), Truth::False);
    }
}
