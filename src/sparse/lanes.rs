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

/// Sixteen `f32` in registers.
pub(super) trait Lanes: Copy {
    /// The registers.
    type V: Copy;
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
}

#[cfg(target_arch = "x86_64")]
pub(super) mod x86 {
    //! The two x86-64 forms. Every method is inlined into a function compiled for its instruction
    //! set (`run_avx2`, `run_avx512` below), which [`super::Isa`] calls only where it is there.
    use super::Lanes;
    use std::arch::x86_64::*;

    /// AVX2 with fused multiply-add: two vectors of eight.
    #[derive(Clone, Copy)]
    pub struct Avx2;

    impl Lanes for Avx2 {
        type V = [__m256; 2];
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
    }

    /// AVX-512: one vector of sixteen.
    #[derive(Clone, Copy)]
    pub struct Avx512;

    impl Lanes for Avx512 {
        type V = __m512;
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
        kinds.push(Kind::Portable);
        kinds.into_iter().map(Self).collect()
    }

    /// The best that this processor has.
    pub fn best() -> Self {
        Self::available().first().copied().unwrap_or(Self(Kind::Portable))
    }

    /// The one called `name` (`avx512`, `avx2`, `portable`), if this processor has it.
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
