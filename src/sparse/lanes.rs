//! Sixteen lanes at a time, on whatever vectors the processor has.
//!
//! The kernels are written once, over [`Lanes`], and compiled once for each instruction set; the
//! best one that the processor has is picked when the program starts. [`Isa`] is part of a plan:
//! results are bit-equal for equal instruction sets of one system, and differ in the last places between them,
//! because a fused multiply-add rounds once where the portable one rounds twice.
//!
//! `unsafe` is allowed here: calling a function compiled for an instruction set is sound only on a
//! processor that has it, which [`Isa::available`] asks before any [`Isa`] can exist.
#![allow(unsafe_code)]

use std::fmt;

use super::LANES;
use super::strip::{self, Strip};

/// Sixteen `f32` in registers.
pub(super) trait Lanes: Copy {
    /// The registers.
    type V: Copy;
    /// The vector of packed tiles.
    type Strip: Strip;
    /// Whether 32 vector registers of 16 lanes are there, which decides the size of tiles.
    const WIDE: bool;
    /// `value` in every lane.
    fn splat(value: f32) -> Self::V;
    /// Reads sixteen values.
    ///
    /// # Safety
    /// Sixteen `f32` must be readable at `from`.
    unsafe fn load(from: *const f32) -> Self::V;
    /// Writes sixteen values.
    ///
    /// # Safety
    /// Sixteen `f32` must be writable at `to`.
    unsafe fn store(to: *mut f32, value: Self::V);
    /// `a * b + c`, rounded once or twice as the instruction set has it.
    fn fma(a: Self::V, b: Self::V, c: Self::V) -> Self::V;
    /// `a + b`.
    fn add(a: Self::V, b: Self::V) -> Self::V;
    /// `a - b`.
    fn sub(a: Self::V, b: Self::V) -> Self::V;
    /// The sixteen values.
    #[inline(always)]
    fn array(a: Self::V) -> [f32; LANES] {
        let mut values = [0.0; LANES];
        // SAFETY: `values` holds sixteen.
        unsafe { Self::store(values.as_mut_ptr(), a) };
        values
    }
    /// Sixteen values from an array.
    #[inline(always)]
    fn of(values: &[f32; LANES]) -> Self::V {
        // SAFETY: an array of sixteen values is readable.
        unsafe { Self::load(values.as_ptr()) }
    }
    /// The larger of each lane and zero; a NaN stays one, so that it is seen.
    fn relu(a: Self::V) -> Self::V;
    /// `a` where `gate` is above zero, zero elsewhere.
    fn open(a: Self::V, gate: Self::V) -> Self::V;
    /// Writes the sixteen values into an array.
    #[inline(always)]
    fn to(values: &mut [f32; LANES], a: Self::V) {
        // SAFETY: an array of sixteen values is writable.
        unsafe { Self::store(values.as_mut_ptr(), a) };
    }
    /// The sum of the lanes, in the order of [`sum_lanes`].
    #[inline(always)]
    fn sum(a: Self::V) -> f32 {
        sum_lanes(Self::array(a))
    }
}

/// `N` values, made in their order: what kernels use where others would take `std::array::from_fn` or `map`.
///
/// Those call the closure through functions that the compiler may leave where they were compiled, without
/// the instruction set of the kernel. Every intrinsic within is a call then, with its vectors in memory:
/// a dense step took eight times as long, in a build without optimisation across units of the crate. The closure
/// itself may stay one too; where `.ci/run` finds that, the caller loops over indices.
#[inline(always)]
pub(super) fn array_of<T: Copy, const N: usize>(mut make: impl FnMut(usize) -> T) -> [T; N] {
    let mut values = [make(0); N];
    let mut i = 1;
    while i < N {
        values[i] = make(i);
        i += 1;
    }
    values
}

/// The sum of sixteen lanes: halves added to halves, so the order is the same everywhere.
#[inline(always)]
pub(super) fn sum_lanes(mut lanes: [f32; LANES]) -> f32 {
    let mut width = LANES / 2;
    while width > 0 {
        for lane in 0..width {
            lanes[lane] += lanes[lane + width];
        }
        width /= 2;
    }
    lanes[0]
}

/// Plain Rust: runs everywhere.
#[derive(Clone, Copy)]
pub(super) struct Portable;

impl Lanes for Portable {
    type V = [f32; LANES];
    type Strip = strip::Portable;
    const WIDE: bool = false;
    #[inline(always)]
    fn splat(value: f32) -> Self::V {
        [value; LANES]
    }
    #[inline(always)]
    unsafe fn load(from: *const f32) -> Self::V {
        // SAFETY: the caller vouches for sixteen readable values; an array of f32 has their layout.
        unsafe { from.cast::<[f32; LANES]>().read_unaligned() }
    }
    #[inline(always)]
    unsafe fn store(to: *mut f32, value: Self::V) {
        // SAFETY: the caller vouches for sixteen writable values.
        unsafe { to.cast::<[f32; LANES]>().write_unaligned(value) }
    }
    #[inline(always)]
    fn fma(a: Self::V, b: Self::V, mut c: Self::V) -> Self::V {
        for lane in 0..LANES {
            c[lane] += a[lane] * b[lane];
        }
        c
    }
    #[inline(always)]
    fn add(a: Self::V, mut b: Self::V) -> Self::V {
        for lane in 0..LANES {
            b[lane] += a[lane];
        }
        b
    }
    #[inline(always)]
    fn sub(mut a: Self::V, b: Self::V) -> Self::V {
        for lane in 0..LANES {
            a[lane] -= b[lane];
        }
        a
    }
    #[inline(always)]
    fn relu(mut a: Self::V) -> Self::V {
        for lane in &mut a {
            *lane = if *lane < 0.0 { 0.0 } else { *lane };
        }
        a
    }
    #[inline(always)]
    fn open(mut a: Self::V, gate: Self::V) -> Self::V {
        for lane in 0..LANES {
            a[lane] = if gate[lane] > 0.0 { a[lane] } else { 0.0 };
        }
        a
    }
}

#[cfg(target_arch = "x86_64")]
pub(super) mod x86 {
    //! The two x86-64 forms. Every method is inlined into a function compiled for its instruction
    //! set (`run_avx2`, `run_avx512` below), which [`super::Isa`] calls only where it is there.
    use super::{Lanes, strip};
    use std::arch::x86_64::*;

    /// AVX2 with fused multiply-add: two vectors of eight.
    #[derive(Clone, Copy)]
    pub struct Avx2;

    impl Lanes for Avx2 {
        type V = [__m256; 2];
        type Strip = strip::x86::Avx2;
        const WIDE: bool = false;
        #[inline(always)]
        fn splat(value: f32) -> Self::V {
            // SAFETY: inlined only into code compiled for AVX2 (module doc).
            unsafe { [_mm256_set1_ps(value); 2] }
        }
        #[inline(always)]
        unsafe fn load(from: *const f32) -> Self::V {
            // SAFETY: AVX2 is there (module doc); the caller vouches for sixteen readable values.
            unsafe { [_mm256_loadu_ps(from), _mm256_loadu_ps(from.add(8))] }
        }
        #[inline(always)]
        unsafe fn store(to: *mut f32, value: Self::V) {
            // SAFETY: AVX2 is there (module doc); the caller vouches for sixteen writable values.
            unsafe {
                _mm256_storeu_ps(to, value[0]);
                _mm256_storeu_ps(to.add(8), value[1]);
            }
        }
        #[inline(always)]
        fn fma(a: Self::V, b: Self::V, c: Self::V) -> Self::V {
            // SAFETY: inlined only into code compiled for AVX2 and FMA (module doc).
            unsafe { [_mm256_fmadd_ps(a[0], b[0], c[0]), _mm256_fmadd_ps(a[1], b[1], c[1])] }
        }
        #[inline(always)]
        fn add(a: Self::V, b: Self::V) -> Self::V {
            // SAFETY: inlined only into code compiled for AVX2 (module doc).
            unsafe { [_mm256_add_ps(a[0], b[0]), _mm256_add_ps(a[1], b[1])] }
        }
        #[inline(always)]
        fn sub(a: Self::V, b: Self::V) -> Self::V {
            // SAFETY: inlined only into code compiled for AVX2 (module doc).
            unsafe { [_mm256_sub_ps(a[0], b[0]), _mm256_sub_ps(a[1], b[1])] }
        }
        #[inline(always)]
        fn relu(a: Self::V) -> Self::V {
            // SAFETY: inlined only into code compiled for AVX2 (module doc).
            unsafe {
                let zero = _mm256_setzero_ps();
                [_mm256_max_ps(zero, a[0]), _mm256_max_ps(zero, a[1])]
            }
        }
        #[inline(always)]
        fn open(a: Self::V, gate: Self::V) -> Self::V {
            // SAFETY: inlined only into code compiled for AVX2 (module doc).
            unsafe {
                let zero = _mm256_setzero_ps();
                let pass = |a, gate| _mm256_and_ps(a, _mm256_cmp_ps::<_CMP_GT_OQ>(gate, zero));
                [pass(a[0], gate[0]), pass(a[1], gate[1])]
            }
        }
        #[inline(always)]
        fn sum(a: Self::V) -> f32 {
            // SAFETY: inlined only into code compiled for AVX2 (module doc).
            unsafe { sum8(_mm256_add_ps(a[0], a[1])) }
        }
    }

    /// The sum of eight lanes, halves added to halves.
    ///
    /// # Safety
    /// AVX must be there.
    #[inline(always)]
    unsafe fn sum8(a: __m256) -> f32 {
        // SAFETY: inlined only into code compiled for AVX2 or more (module doc).
        unsafe {
            let four = _mm_add_ps(_mm256_castps256_ps128(a), _mm256_extractf128_ps::<1>(a));
            let two = _mm_add_ps(four, _mm_movehl_ps(four, four));
            _mm_cvtss_f32(_mm_add_ss(two, _mm_movehdup_ps(two)))
        }
    }

    /// AVX-512: one vector of sixteen.
    #[derive(Clone, Copy)]
    pub struct Avx512;

    impl Lanes for Avx512 {
        type V = __m512;
        type Strip = strip::x86::Avx512;
        const WIDE: bool = true;
        #[inline(always)]
        fn splat(value: f32) -> Self::V {
            // SAFETY: inlined only into code compiled for AVX-512 (module doc).
            unsafe { _mm512_set1_ps(value) }
        }
        #[inline(always)]
        unsafe fn load(from: *const f32) -> Self::V {
            // SAFETY: AVX-512 is there (module doc); the caller vouches for sixteen readable values.
            unsafe { _mm512_loadu_ps(from) }
        }
        #[inline(always)]
        unsafe fn store(to: *mut f32, value: Self::V) {
            // SAFETY: AVX-512 is there (module doc); the caller vouches for sixteen writable values.
            unsafe { _mm512_storeu_ps(to, value) }
        }
        #[inline(always)]
        fn fma(a: Self::V, b: Self::V, c: Self::V) -> Self::V {
            // SAFETY: inlined only into code compiled for AVX-512 (module doc).
            unsafe { _mm512_fmadd_ps(a, b, c) }
        }
        #[inline(always)]
        fn add(a: Self::V, b: Self::V) -> Self::V {
            // SAFETY: inlined only into code compiled for AVX-512 (module doc).
            unsafe { _mm512_add_ps(a, b) }
        }
        #[inline(always)]
        fn sub(a: Self::V, b: Self::V) -> Self::V {
            // SAFETY: inlined only into code compiled for AVX-512 (module doc).
            unsafe { _mm512_sub_ps(a, b) }
        }
        #[inline(always)]
        fn relu(a: Self::V) -> Self::V {
            // SAFETY: inlined only into code compiled for AVX-512 (module doc).
            unsafe { _mm512_max_ps(_mm512_setzero_ps(), a) }
        }
        #[inline(always)]
        fn open(a: Self::V, gate: Self::V) -> Self::V {
            // SAFETY: inlined only into code compiled for AVX-512 (module doc).
            unsafe {
                let pass = _mm512_cmp_ps_mask::<_CMP_GT_OQ>(gate, _mm512_setzero_ps());
                _mm512_maskz_mov_ps(pass, a)
            }
        }
        #[inline(always)]
        fn sum(a: Self::V) -> f32 {
            // SAFETY: inlined only into code compiled for AVX-512 (module doc).
            unsafe {
                sum8(_mm256_add_ps(_mm512_castps512_ps256(a), _mm512_extractf32x8_ps::<1>(a)))
            }
        }
    }
}

#[cfg(target_arch = "aarch64")]
pub(super) mod arm {
    //! NEON. Every method is inlined into a function compiled for it (`run_neon` below), which
    //! [`super::Isa`] calls only where it is there.
    use super::{Lanes, strip};
    use std::arch::aarch64::*;

    /// Four vectors of four.
    #[derive(Clone, Copy)]
    pub struct Neon;

    /// Applies an operation of two operands to each vector.
    #[inline(always)]
    fn pairs(
        a: [float32x4_t; 4],
        b: [float32x4_t; 4],
        f: impl Fn(float32x4_t, float32x4_t) -> float32x4_t,
    ) -> [float32x4_t; 4] {
        [f(a[0], b[0]), f(a[1], b[1]), f(a[2], b[2]), f(a[3], b[3])]
    }

    impl Lanes for Neon {
        type V = [float32x4_t; 4];
        type Strip = strip::arm::Neon;
        const WIDE: bool = false;
        #[inline(always)]
        fn splat(value: f32) -> Self::V {
            // SAFETY: inlined only into code compiled for NEON (module doc).
            unsafe { [vdupq_n_f32(value); 4] }
        }
        #[inline(always)]
        unsafe fn load(from: *const f32) -> Self::V {
            // SAFETY: NEON is there (module doc); the caller vouches for sixteen readable values.
            let at = |i: usize| unsafe { vld1q_f32(from.add(4 * i)) };
            [at(0), at(1), at(2), at(3)]
        }
        #[inline(always)]
        unsafe fn store(to: *mut f32, value: Self::V) {
            for (i, four) in value.into_iter().enumerate() {
                // SAFETY: NEON is there (module doc); the caller vouches for sixteen writable values.
                unsafe { vst1q_f32(to.add(4 * i), four) };
            }
        }
        #[inline(always)]
        fn fma(a: Self::V, b: Self::V, c: Self::V) -> Self::V {
            // SAFETY: inlined only into code compiled for NEON (module doc).
            let of = |i: usize| unsafe { vfmaq_f32(c[i], a[i], b[i]) };
            [of(0), of(1), of(2), of(3)]
        }
        #[inline(always)]
        fn add(a: Self::V, b: Self::V) -> Self::V {
            // SAFETY: inlined only into code compiled for NEON (module doc).
            pairs(a, b, |a, b| unsafe { vaddq_f32(a, b) })
        }
        #[inline(always)]
        fn sub(a: Self::V, b: Self::V) -> Self::V {
            // SAFETY: inlined only into code compiled for NEON (module doc).
            pairs(a, b, |a, b| unsafe { vsubq_f32(a, b) })
        }
        #[inline(always)]
        fn relu(a: Self::V) -> Self::V {
            // SAFETY: inlined only into code compiled for NEON (module doc). A NaN stays one.
            pairs(a, Self::splat(0.0), |a, zero| unsafe { vmaxq_f32(a, zero) })
        }
        #[inline(always)]
        fn open(a: Self::V, gate: Self::V) -> Self::V {
            // SAFETY: inlined only into code compiled for NEON (module doc).
            pairs(a, gate, |a, gate| unsafe {
                let pass = vcgtq_f32(gate, vdupq_n_f32(0.0));
                vreinterpretq_f32_u32(vandq_u32(vreinterpretq_u32_f32(a), pass))
            })
        }
    }
}

/// A kernel's inner part, to be compiled for each instruction set. Mark `run` `#[inline(always)]`.
pub(super) trait Task {
    /// What it gives.
    type Out;
    /// Does the work.
    fn run<L: Lanes>(self) -> Self::Out;
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Portable,
    #[cfg(target_arch = "x86_64")]
    Avx2,
    #[cfg(target_arch = "x86_64")]
    Avx512,
    #[cfg(target_arch = "aarch64")]
    Neon,
}

/// An instruction set that this processor has.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Isa(Kind);

impl Isa {
    /// What this processor has, the best first. The portable one is always the last.
    pub fn available() -> Vec<Self> {
        let mut kinds = Vec::new();
        #[cfg(target_arch = "x86_64")]
        {
            if is_x86_feature_detected!("avx512f")
                && is_x86_feature_detected!("avx512dq")
                && is_x86_feature_detected!("avx512vl")
            {
                kinds.push(Kind::Avx512);
            }
            if is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma") {
                kinds.push(Kind::Avx2);
            }
        }
        #[cfg(target_arch = "aarch64")]
        if std::arch::is_aarch64_feature_detected!("neon") {
            kinds.push(Kind::Neon);
        }
        kinds.push(Kind::Portable);
        kinds.into_iter().map(Self).collect()
    }

    /// The best that this processor has.
    pub fn best() -> Self {
        Self::available().first().copied().unwrap_or(Self(Kind::Portable))
    }

    /// The one called `name` (`avx512`, `avx2`, `neon`, `portable`), if this processor has it.
    pub fn named(name: &str) -> Option<Self> {
        Self::available().into_iter().find(|isa| isa.name() == name)
    }

    /// Its name in plans and results.
    pub fn name(self) -> &'static str {
        match self.0 {
            Kind::Portable => "portable",
            #[cfg(target_arch = "x86_64")]
            Kind::Avx2 => "avx2",
            #[cfg(target_arch = "x86_64")]
            Kind::Avx512 => "avx512",
            #[cfg(target_arch = "aarch64")]
            Kind::Neon => "neon",
        }
    }

    /// Runs `task` compiled for this instruction set.
    #[inline]
    pub(super) fn run<T: Task>(self, task: T) -> T::Out {
        match self.0 {
            Kind::Portable => task.run::<Portable>(),
            #[cfg(target_arch = "x86_64")]
            // SAFETY: an `Isa` of this kind exists only where `available` found AVX2 and FMA.
            Kind::Avx2 => unsafe { run_avx2(task) },
            #[cfg(target_arch = "x86_64")]
            // SAFETY: an `Isa` of this kind exists only where `available` found these features.
            Kind::Avx512 => unsafe { run_avx512(task) },
            #[cfg(target_arch = "aarch64")]
            // SAFETY: an `Isa` of this kind exists only where `available` found NEON.
            Kind::Neon => unsafe { run_neon(task) },
        }
    }
}

impl fmt::Debug for Isa {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2,fma")]
fn run_avx2<T: Task>(task: T) -> T::Out {
    task.run::<x86::Avx2>()
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx512f,avx512dq,avx512vl,avx2,fma")]
fn run_avx512<T: Task>(task: T) -> T::Out {
    task.run::<x86::Avx512>()
}

#[cfg(target_arch = "aarch64")]
#[target_feature(enable = "neon")]
fn run_neon<T: Task>(task: T) -> T::Out {
    task.run::<arm::Neon>()
}
