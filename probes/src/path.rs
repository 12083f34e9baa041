//! A short path put together on the stack: `proc/`, a pid, `/stat`.
//!
//! A path that does not fit is empty, which no system call accepts: a cut path would be another file.

/// The longest path made here is `proc/PID/task/TID/children` or `sys/class/net/NAME/operstate`.
const ROOM: usize = 64;

#[derive(Clone, Copy)]
pub(crate) struct Path {
    bytes: [u8; ROOM],
    len: usize,
    fits: bool,
}

impl Path {
    pub fn new(start: &str) -> Self {
        Self { bytes: [0; ROOM], len: 0, fits: true }.text(start.as_bytes())
    }

    pub fn text(mut self, text: &[u8]) -> Self {
        match self.bytes.get_mut(self.len..self.len + text.len()) {
            Some(free) => {
                free.copy_from_slice(text);
                self.len += text.len();
            }
            None => self.fits = false,
        }
        self
    }

    pub fn number(self, number: i32) -> Self {
        let mut digits = [0; 10];
        let mut rest = number.unsigned_abs();
        let mut first = digits.len();
        for (place, digit) in digits.iter_mut().enumerate().rev() {
            *digit = b'0' + u8::try_from(rest % 10).unwrap_or(0);
            rest /= 10;
            first = place;
            if rest == 0 {
                break;
            }
        }
        self.text(digits.get(first..).unwrap_or_default())
    }

    pub fn bytes(&self) -> &[u8] {
        if self.fits { self.bytes.get(..self.len).unwrap_or_default() } else { &[] }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_written_in_full() {
        for number in [0, 7, 10, 4_194_304, i32::MAX] {
            assert_eq!(
                Path::new("proc/").number(number).text(b"/stat").bytes(),
                format!("proc/{number}/stat").as_bytes()
            );
        }
    }

    #[test]
    fn a_path_that_does_not_fit_is_empty_not_cut() {
        assert_eq!(Path::new("sys/").text(&[b'x'; ROOM]).text(b"y").bytes(), b"");
    }
}
