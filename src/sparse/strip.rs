//! The vector that packed tiles are made of: as many lanes as fit eight sums and a value into the
//! registers, half of [`super::LANES`] or all of them.
//!
//! `unsafe` is allowed here on the ground that [`super::lanes`] states: a strip's methods are inlined
//! only into code that [`super::Isa`] runs where the instruction set is there.
#![allow(unsafe_code)]

/// Sums that a tile keeps in registers.
pub(super) const SUMS: usize = 8;

/// A vector of `f32`.
pub(super) trait Strip: Copy {
    /// The register, or registers.
    type V: Copy;
    /// Its lanes; they divide [`super::LANES`].
    const WIDTH: usize;
    /// `value` in every lane.
    fn splat(value: f32) -> Self::V;
    /// Reads a vector.
    ///
    /// # Safety
    /// `WIDTH` values must be readable at `from`.
    unsafe fn load(from: *const f32) -> Self::V;
    /// Writes a vector.
    ///
    /// # Safety
    /// `WIDTH` values must be writable at `to`.
    unsafe fn store(to: *mut f32, value: Self::V);
    /// Asks for a line of memory that will be read soon; it need not exist.
    #[inline(always)]
    fn foresee(_: *const f32) {}
    /// `a * b + c`.
    fn fma(a: Self::V, b: Self::V, c: Self::V) -> Self::V;
    /// The larger of each lane and zero; a NaN stays one.
    fn relu(a: Self::V) -> Self::V;
    /// The sum of the lanes of each vector: lanes whose places differ in the highest bit are added
    /// first where there are sixteen or eight at once, neighbours after that.
    fn sums(all: [Self::V; SUMS]) -> [f32; SUMS];
}

/// Eight lanes of plain Rust.
#[derive(Clone, Copy)]
pub(super) struct Portable;

impl Strip for Portable {
    type V = [f32; 8];
    const WIDTH: usize = 8;
    #[inline(always)]
    fn splat(value: f32) -> Self::V {
        [value; 8]
    }
    #[inline(always)]
    unsafe fn load(from: *const f32) -> Self::V {
        // SAFETY: the caller vouches for eight readable values; an array of f32 has their layout.
        unsafe { from.cast::<[f32; 8]>().read_unaligned() }
    }
    #[inline(always)]
    unsafe fn store(to: *mut f32, value: Self::V) {
        // SAFETY: the caller vouches for eight writable values.
        unsafe { to.cast::<[f32; 8]>().write_unaligned(value) }
    }
    #[inline(always)]
    fn fma(a: Self::V, b: Self::V, mut c: Self::V) -> Self::V {
        for lane in 0..8 {
            c[lane] += a[lane] * b[lane];
        }
        c
    }
    #[inline(always)]
    fn relu(mut a: Self::V) -> Self::V {
        for lane in &mut a {
            *lane = if *lane < 0.0 { 0.0 } else { *lane };
        }
        a
    }
    #[inline(always)]
    fn sums(all: [Self::V; SUMS]) -> [f32; SUMS] {
        all.map(|a| ((a[0] + a[1]) + (a[2] + a[3])) + ((a[4] + a[5]) + (a[6] + a[7])))
    }
}

#[cfg(target_arch = "x86_64")]
pub(super) mod x86 {
    //! The two x86-64 forms.
    use super::super::lanes::array_of;
    use super::{SUMS, Strip};
    use std::arch::x86_64::*;

    /// AVX2 with fused multiply-add: eight lanes.
    #[derive(Clone, Copy)]
    pub struct Avx2;

    impl Strip for Avx2 {
        type V = __m256;
        const WIDTH: usize = 8;
        #[inline(always)]
        fn splat(value: f32) -> Self::V {
            // SAFETY: inlined only into code compiled for AVX2 (module doc).
            unsafe { _mm256_set1_ps(value) }
        }
        #[inline(always)]
        unsafe fn load(from: *const f32) -> Self::V {
            // SAFETY: AVX2 is there (module doc); the caller vouches for eight readable values.
            unsafe { _mm256_loadu_ps(from) }
        }
        #[inline(always)]
        unsafe fn store(to: *mut f32, value: Self::V) {
            // SAFETY: AVX2 is there (module doc); the caller vouches for eight writable values.
            unsafe { _mm256_storeu_ps(to, value) }
        }
        #[inline(always)]
        fn foresee(at: *const f32) {
            // SAFETY: a prefetch of any address is harmless.
            unsafe { _mm_prefetch::<_MM_HINT_T0>(at.cast()) };
        }
        #[inline(always)]
        fn fma(a: Self::V, b: Self::V, c: Self::V) -> Self::V {
            // SAFETY: inlined only into code compiled for AVX2 and FMA (module doc).
            unsafe { _mm256_fmadd_ps(a, b, c) }
        }
        #[inline(always)]
        fn relu(a: Self::V) -> Self::V {
            // SAFETY: inlined only into code compiled for AVX2 (module doc).
            unsafe { _mm256_max_ps(_mm256_setzero_ps(), a) }
        }
        #[inline(always)]
        fn sums(all: [Self::V; SUMS]) -> [f32; SUMS] {
            // SAFETY: inlined only into code compiled for AVX2 (module doc).
            unsafe { sums(all) }
        }
    }

    /// The sums of eight vectors of eight lanes.
    ///
    /// # Safety
    /// AVX2 must be there.
    #[inline(always)]
    unsafe fn sums(a: [__m256; SUMS]) -> [f32; SUMS] {
        // SAFETY: inlined only into code compiled for AVX2 or more (module doc).
        unsafe {
            let four = |a: [__m256; 4]| {
                let pairs = _mm256_hadd_ps(_mm256_hadd_ps(a[0], a[1]), _mm256_hadd_ps(a[2], a[3]));
                _mm_add_ps(_mm256_castps256_ps128(pairs), _mm256_extractf128_ps::<1>(pairs))
            };
            let (low, high) = (four([a[0], a[1], a[2], a[3]]), four([a[4], a[5], a[6], a[7]]));
            let mut sums = [0.0; SUMS];
            _mm_storeu_ps(sums.as_mut_ptr(), low);
            _mm_storeu_ps(sums.as_mut_ptr().add(4), high);
            sums
        }
    }

    /// AVX-512: sixteen lanes.
    #[derive(Clone, Copy)]
    pub struct Avx512;

    impl Strip for Avx512 {
        type V = __m512;
        const WIDTH: usize = 16;
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
        fn foresee(at: *const f32) {
            // SAFETY: a prefetch of any address is harmless.
            unsafe { _mm_prefetch::<_MM_HINT_T0>(at.cast()) };
        }
        #[inline(always)]
        fn fma(a: Self::V, b: Self::V, c: Self::V) -> Self::V {
            // SAFETY: inlined only into code compiled for AVX-512 (module doc).
            unsafe { _mm512_fmadd_ps(a, b, c) }
        }
        #[inline(always)]
        fn relu(a: Self::V) -> Self::V {
            // SAFETY: inlined only into code compiled for AVX-512 (module doc).
            unsafe { _mm512_max_ps(_mm512_setzero_ps(), a) }
        }
        #[inline(always)]
        fn sums(all: [Self::V; SUMS]) -> [f32; SUMS] {
            // SAFETY: inlined only into code compiled for AVX-512 and AVX2 (module doc).
            unsafe {
                sums(array_of(|i| {
                    let a = all[i];
                    _mm256_add_ps(_mm512_castps512_ps256(a), _mm512_extractf32x8_ps::<1>(a))
                }))
            }
        }
    }
}

#[cfg(target_arch = "aarch64")]
pub(super) mod arm {
    //! NEON: two vectors of four.
    use super::super::lanes::array_of;
    use super::{SUMS, Strip};
    use std::arch::aarch64::*;

    /// Eight lanes.
    #[derive(Clone, Copy)]
    pub struct Neon;

    impl Strip for Neon {
        type V = [float32x4_t; 2];
        const WIDTH: usize = 8;
        #[inline(always)]
        fn splat(value: f32) -> Self::V {
            // SAFETY: inlined only into code compiled for NEON (module doc).
            unsafe { [vdupq_n_f32(value); 2] }
        }
        #[inline(always)]
        unsafe fn load(from: *const f32) -> Self::V {
            // SAFETY: NEON is there (module doc); the caller vouches for eight readable values.
            unsafe { [vld1q_f32(from), vld1q_f32(from.add(4))] }
        }
        #[inline(always)]
        unsafe fn store(to: *mut f32, value: Self::V) {
            // SAFETY: NEON is there (module doc); the caller vouches for eight writable values.
            unsafe {
                vst1q_f32(to, value[0]);
                vst1q_f32(to.add(4), value[1]);
            }
        }
        #[inline(always)]
        fn fma(a: Self::V, b: Self::V, c: Self::V) -> Self::V {
            // SAFETY: inlined only into code compiled for NEON (module doc).
            unsafe { [vfmaq_f32(c[0], a[0], b[0]), vfmaq_f32(c[1], a[1], b[1])] }
        }
        #[inline(always)]
        fn relu(a: Self::V) -> Self::V {
            // SAFETY: inlined only into code compiled for NEON (module doc). A NaN stays one.
            unsafe {
                let zero = vdupq_n_f32(0.0);
                [vmaxq_f32(a[0], zero), vmaxq_f32(a[1], zero)]
            }
        }
        #[inline(always)]
        fn sums(all: [Self::V; SUMS]) -> [f32; SUMS] {
            let mut sums = [0.0; SUMS];
            // SAFETY: inlined only into code compiled for NEON (module doc); `sums` holds eight.
            unsafe {
                let a: [_; SUMS] = array_of(|i| vaddq_f32(all[i][0], all[i][1]));
                let low = vpaddq_f32(vpaddq_f32(a[0], a[1]), vpaddq_f32(a[2], a[3]));
                let high = vpaddq_f32(vpaddq_f32(a[4], a[5]), vpaddq_f32(a[6], a[7]));
                vst1q_f32(sums.as_mut_ptr(), low);
                vst1q_f32(sums.as_mut_ptr().add(4), high);
            }
            sums
        }
    }
}
