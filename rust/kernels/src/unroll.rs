//! Loops as straight code.

/// Runs a block for `$i` in `0..$n`, which is a constant of at most 16: a loop that the compiler leaves rolled would keep
/// the sums of a tile in memory.
macro_rules! unroll {
    ($i:ident in $n:expr, $body:block) => {
        $crate::unroll::unroll!(@ $i, $n, $body, 0 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15)
    };
    (@ $i:ident, $n:expr, $body:block, $($k:literal)*) => { $(if $k < $n { let $i = $k; $body })* };
}
pub(crate) use unroll;
