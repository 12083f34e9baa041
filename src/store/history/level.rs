//! A measured value in 16 bits: 6 of exponent, 10 of fraction, no sign.
//!
//! Nothing of the host's own is negative. From 2⁻¹⁴ to 2⁴⁹ (512 TiB) a value is kept to 0.05 %, whole numbers up to 2048 exactly, smaller
//! ones in steps of 2⁻²⁴. A measure of the policy may be a temperature or an offset: it gives one bit of the fraction for a sign, is kept
//! to 0.15 % and exactly up to 1024. The order of codes is the order of values, so that what is rounded keeps min ≤ mean ≤ max.

/// No value.
pub const NONE: u16 = u16::MAX;

/// The largest value; what is more is shown as this.
const MOST: u16 = NONE - 1;

/// An f32 has 23 bits of fraction, a code 10.
const SHIFT: u32 = 13;

/// The exponent of an f32 below which codes are plain multiples of 2⁻²⁴.
const SMALL: u32 = 113;

const SMALL_STEPS: f32 = 16_777_216.0;

/// The code of zero where values have a sign: as many are below it as above.
const ZERO: u16 = MOST / 2;

/// Which values a series can have.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Scale {
    /// From zero on.
    #[default]
    Up,
    /// On both sides of zero.
    Both,
}

impl Scale {
    /// The nearest code; none for what is not finite, or lies where the scale has nothing.
    pub fn encode(self, value: f32) -> u16 {
        match (self, encode(value.abs()) / 2 + encode(value.abs()) % 2) {
            (Self::Up, _) => encode(value),
            _ if !value.is_finite() => NONE,
            (Self::Both, size) if value < 0.0 => ZERO - size.min(ZERO),
            (Self::Both, size) => ZERO + size.min(ZERO),
        }
    }

    /// The value of a code.
    pub fn decode(self, code: u16) -> Option<f32> {
        match self {
            _ if code == NONE => None,
            Self::Up => decode(code),
            Self::Both if code < ZERO => decode(2 * (ZERO - code)).map(|size| -size),
            Self::Both => decode(2 * (code - ZERO)),
        }
    }
}

/// The nearest code; none for what is negative or not finite.
#[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
fn encode(value: f32) -> u16 {
    if !value.is_finite() || value < 0.0 {
        return NONE;
    }
    // Zero may have a sign.
    let bits = value.abs().to_bits();
    let code = if bits < SMALL << 23 {
        // Below 2^10 by the condition.
        (value * SMALL_STEPS).round() as u32
    } else {
        ((bits + (1 << (SHIFT - 1))) >> SHIFT) - ((SMALL - 1) << 10)
    };
    u16::try_from(code).map_or(MOST, |code| code.min(MOST))
}

fn decode(code: u16) -> Option<f32> {
    match code {
        NONE => None,
        small @ 0..1024 => Some(f32::from(small) / SMALL_STEPS),
        code => Some(f32::from_bits((u32::from(code) + ((SMALL - 1) << 10)) << SHIFT)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_code_comes_back_as_itself_and_in_order() {
        let mut before = -1.0;
        for code in 0..=MOST {
            let value = decode(code).expect("it is a value");
            assert_eq!(encode(value), code);
            assert!(value > before, "{code}");
            before = value;
        }
        assert_eq!(decode(NONE), None);
    }

    #[test]
    fn values_keep_three_digits() {
        for whole in 0..=2048_u16 {
            assert_eq!(decode(encode(f32::from(whole))), Some(f32::from(whole)));
        }
        let mut value = 7e-5_f32;
        while value < 5e14 {
            let kept = decode(encode(value)).expect("it is a value");
            assert!((kept - value).abs() / value <= 0.0005, "{value} {kept}");
            value *= 1.37;
        }
    }

    #[test]
    fn a_series_with_signs_keeps_the_order_and_whole_numbers_on_both_sides() {
        let both = Scale::Both;
        let mut before = f32::NEG_INFINITY;
        for code in 0..=MOST {
            let value = both.decode(code).expect("it is a value");
            assert_eq!(both.encode(value), code);
            assert!(value > before, "{code}");
            before = value;
        }
        for whole in -1024..=1024_i16 {
            assert_eq!(both.decode(both.encode(f32::from(whole))), Some(f32::from(whole)));
        }
        let mut value = 7e-5_f32;
        while value < 5e14 {
            let kept = both.decode(both.encode(-value)).expect("it is a value");
            assert!((kept + value).abs() / value <= 0.0015, "{value} {kept}");
            value *= 1.37;
        }
        assert_eq!([f32::NAN, f32::INFINITY, f32::NEG_INFINITY].map(|bad| both.encode(bad)), [NONE; 3]);
        assert_eq!([-1e20, -0.0, 1e20].map(|value| both.encode(value)), [0, ZERO, MOST]);
        assert_eq!(both.decode(NONE), None);
    }

    #[test]
    fn what_is_no_level_is_none_and_too_much_is_the_most() {
        for bad in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY, -1.0, -1e-9] {
            assert_eq!(encode(bad), NONE, "{bad}");
        }
        assert_eq!((encode(-0.0), encode(1e-30), encode(f32::MIN_POSITIVE)), (0, 0, 0));
        assert_eq!((encode(1e20), encode(f32::MAX)), (MOST, MOST));
    }
}
