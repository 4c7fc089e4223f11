//! Launchers of layers of which few weights exist: passes that touch those and lay nothing out dense.
//!
//! Which passes of a layer are such, and by which tiles, is fixed by its shape, its batch, how many weights exist and
//! a [`SparseBelow`]. Factors are f32 whatever the engine's precision is.

use super::choice::{SparseBelow, takes};
use super::error::CudaError;
use super::index::{self, DY_PITCH, FILTERS, Lists};
use super::kernel::Kernel;
use super::layer::{Layer, sum_partials};
use super::machine::{Address, Arg, Grid, Machine};
use super::pass::Pass;
use super::tensor::{THREADS, Tensor, each, int, word};
use super::tile::{Asked, Tile, WORDS};
use crate::sparse::Mask;

/// Blocks that a weight gradient is cut into, about.
const BLOCKS: usize = 512;
/// Places of a tile: of `sparse_conv`, of `sparse_gradient`. As in the sources.
const PLACES: usize = 256;
const GRADIENT_PLACES: usize = 128;

/// Passes of one direction, and where their lists are.
#[derive(Clone, Debug)]
struct Direction {
    passes: Vec<(Pass, Tile)>,
    at: Address,
}

/// The passes of a layer that are sparse, and their lists on the device.
#[derive(Clone, Debug)]
pub struct SparseLayer {
    layer: Layer,
    /// Samples of a batch, at most.
    samples: usize,
    forward: Option<Direction>,
    input_gradient: Option<Direction>,
    weight_gradient: Option<(Pass, Tile)>,
    units: usize,
    units_at: Address,
}

fn asked(pass: &Pass, samples: usize) -> Asked {
    Asked {
        samples,
        places: pass.lattice.places,
        step: pass.lattice.in_step,
        taps: pass.taps,
        depth: pass.depth,
        most: PLACES,
        words: WORDS,
    }
}

impl Direction {
    /// `passes`, if each has a tile and they take less than `below`.
    fn of(layer: &Layer, passes: Vec<Pass>, samples: usize, below: u32) -> Option<Self> {
        let loads = |pass: &Pass, tile: &Tile| index::loads(layer, pass, tile, samples);
        let tiled = |pass: Pass| {
            let tile = Tile::best(&asked(&pass, samples), |tile| loads(&pass, tile))?;
            Some((pass, tile))
        };
        let passes: Vec<(Pass, Tile)> = passes.into_iter().map(tiled).collect::<Option<_>>()?;
        let all = passes.iter().map(|(pass, tile)| loads(pass, tile)).sum();
        let products = passes.iter().map(|(pass, _)| pass.products(samples)).sum();
        takes(below, all, products).then_some(Self { passes, at: Address::default() })
    }

    fn in_order(&self) -> bool {
        self.passes.iter().all(|(pass, _)| pass.in_order())
    }

    fn heads(&self) -> usize {
        self.passes.iter().flat_map(|(pass, tile)| index::words_of(pass, tile)).sum()
    }

    fn words(&self, existing: usize) -> usize {
        let order = if self.in_order() { 0 } else { existing };
        self.heads() + existing.div_ceil(2) + order
    }

    fn lists(&self, layer: &Layer, mask: &Mask) -> Vec<u32> {
        let mut lists = Lists::default();
        for (pass, tile) in &self.passes {
            lists.add(layer, mask, pass, tile);
        }
        let words = lists.words(layer.existing, self.in_order());
        assert_eq!(words.len(), self.words(layer.existing), "as many words as were counted");
        words
    }

    /// Runs the passes. `scratch` holds as many values as exist, unless lists are in the order of the mask.
    fn run(
        &self,
        machine: &mut dyn Machine,
        existing: usize,
        [values, bias]: [Address; 2],
        (from, to): (Tensor, Tensor),
        [relu, accumulate]: [bool; 2],
        scratch: Address,
    ) -> Result<(), CudaError> {
        let offsets = self.at.at(self.heads());
        let mut ordered = values;
        if !self.in_order() && existing > 0 {
            let order = offsets.at(existing.div_ceil(2));
            let args = [values, order, scratch].map(Arg::Address);
            let args = [args[0], args[1], args[2], Arg::Word(word(existing))];
            machine.launch(Kernel::GatherValues, each(existing), &args)?;
            ordered = scratch;
        }
        let mut head = self.at;
        for (pass, tile) in &self.passes {
            let [starts, rows] = index::words_of(pass, tile);
            let pointers = [from.at, ordered, bias, to.at, head, head.at(starts), offsets];
            let mut args = pointers.map(Arg::Address).to_vec();
            let fields = conv_fields(pass, tile, from.samples, [relu, accumulate]);
            args.push(Arg::Ints(&fields));
            let tiles = tile.count(from.samples, pass.lattice.places).iter().product();
            let blocks = [tiles, index::blocks(pass) / pass.groups, pass.groups].map(word);
            let grid = Grid { blocks, threads: THREADS as u32 };
            machine.launch(Kernel::SparseConv, grid, &args)?;
            head = head.at(starts + rows);
        }
        Ok(())
    }
}

/// Fields of `Windows` in `kernels/sparse_conv.cu`.
fn windows(pass: &Pass, tile: &Tile, samples: usize) -> Vec<i32> {
    let [channels, height, width] = pass.lattice.input;
    let [_, down, across] = tile.count(samples, pass.lattice.places);
    let [first_y, first_x] = pass.lattice.in_start;
    let all = [
        &[samples][..],
        &pass.lattice.places,
        &[height, width, channels],
        // Where windows begin may be before the input.
        &[0, 0],
        &pass.lattice.in_step,
        &[tile.samples],
        &tile.places,
        &[down, across],
        &tile.window,
        &[tile.chunk, tile.pitch],
    ];
    let mut fields: Vec<i32> = all.concat().into_iter().map(int).collect();
    fields[6..8].copy_from_slice(&[first_y, first_x]);
    fields
}

/// Fields of `SparseConv` there.
fn conv_fields(pass: &Pass, tile: &Tile, samples: usize, flags: [bool; 2]) -> Vec<i32> {
    let [channels, height, width] = pass.lattice.out;
    let ([start_y, start_x], [step_y, step_x]) = (pass.lattice.out_start, pass.lattice.out_step);
    let out = [height, width, channels, start_y, start_x, step_y, step_x];
    let group = [pass.depth, tile.chunks, pass.width];
    let mut fields = windows(pass, tile, samples);
    fields.extend(out.into_iter().chain(group).map(int));
    fields.extend(flags.map(i32::from));
    fields
}

impl SparseLayer {
    /// The passes of `layer` that are sparse over batches of up to `samples`, of those that are `asked` for (forward,
    /// input gradient, weight gradient); none if none is.
    pub fn of(layer: Layer, samples: usize, below: SparseBelow, asked: [bool; 3]) -> Option<Self> {
        let [forward, input, weight] = below.passes();
        let forward =
            asked[0].then(|| Direction::of(&layer, vec![Pass::forward(&layer)], samples, forward));
        let input_gradient =
            asked[1].then(|| Direction::of(&layer, Pass::input_gradient(&layer), samples, input));
        let weight_gradient = asked[2].then(|| Self::gradient(&layer, samples, weight));
        let sparse = Self {
            layer,
            samples,
            forward: forward.flatten(),
            input_gradient: input_gradient.flatten(),
            weight_gradient: weight_gradient.flatten(),
            units: 0,
            units_at: Address::default(),
        };
        sparse.takes().contains(&true).then_some(sparse)
    }

    fn gradient(layer: &Layer, samples: usize, below: u32) -> Option<(Pass, Tile)> {
        let pass = Pass::forward(layer);
        let words = WORDS - FILTERS * DY_PITCH;
        let asked = Asked { most: GRADIENT_PLACES, words, ..asked(&pass, samples) };
        let loads = |tile: &Tile| index::gradient_loads(layer, &pass, tile, samples);
        let tile = Tile::best(&asked, loads)?;
        takes(below, loads(&tile), pass.products(samples)).then_some((pass, tile))
    }

    /// Which passes are sparse: forward, input gradient, weight gradient.
    pub fn takes(&self) -> [bool; 3] {
        let [forward, input] = [&self.forward, &self.input_gradient].map(Option::is_some);
        [forward, input, self.weight_gradient.is_some()]
    }

    /// Words of its lists on the device, at most.
    pub fn words(&self) -> usize {
        let conv = [&self.forward, &self.input_gradient].into_iter().flatten();
        let conv: usize = conv.map(|direction| direction.words(self.layer.existing)).sum();
        let gradient = self.weight_gradient.as_ref();
        conv + gradient.map_or(0, |(pass, tile)| index::gradient_words(&self.layer, pass, tile))
    }

    /// Values of the scratch that its sparse passes need: weights in another order.
    pub fn scratch(&self) -> usize {
        let mut directions = [&self.forward, &self.input_gradient].into_iter().flatten();
        if directions.any(|direction| !direction.in_order()) { self.layer.existing } else { 0 }
    }

    /// Values of the scratch that its weight gradient is summed in.
    pub fn partials(&self) -> usize {
        let parts = |(pass, tile): &(Pass, Tile)| self.parts(pass, tile);
        self.weight_gradient.as_ref().map_or(0, parts) * self.layer.existing
    }

    /// Parts that the places of the largest batch are cut into.
    fn parts(&self, pass: &Pass, tile: &Tile) -> usize {
        let tiles: usize = tile.count(self.samples, pass.lattice.places).iter().product();
        let units = index::most_units(&self.layer, pass, tile).max(1);
        (BLOCKS / units).clamp(1, tiles.max(1))
    }

    /// Its lists, [`SparseLayer::words`] long; from now on they are at `at`, and the mask itself where `layer` says.
    ///
    /// # Panics
    /// If `mask` or `layer` is another's.
    pub fn put(&mut self, layer: Layer, mask: &Mask, at: Address) -> Vec<u32> {
        assert_eq!(Layer { mask: layer.mask, ..self.layer }, layer, "another layer");
        self.layer = layer;
        let mut words = Vec::with_capacity(self.words());
        for direction in [&mut self.forward, &mut self.input_gradient].into_iter().flatten() {
            direction.at = at.at(words.len());
            words.extend(direction.lists(&self.layer, mask));
        }
        if let Some((pass, tile)) = &self.weight_gradient {
            let (units, count) = index::units(&self.layer, mask, pass, tile);
            (self.units, self.units_at) = (count, at.at(words.len()));
            words.extend(units);
        }
        assert_eq!(words.len(), self.words(), "as many words as were counted");
        words
    }

    /// As [`Layer::forward`], in f32; `scratch` holds [`SparseLayer::scratch`] values. Says whether it did.
    ///
    /// # Panics
    /// If the tensors are not this layer's, or of more samples than it is for.
    ///
    /// # Errors
    /// If the device refuses a launch.
    pub fn forward(
        &self,
        machine: &mut dyn Machine,
        weights: [Address; 2],
        (x, y): (Tensor, Tensor),
        relu: bool,
        scratch: Address,
    ) -> Result<bool, CudaError> {
        self.check(x, y);
        let Some(direction) = &self.forward else { return Ok(false) };
        let existing = self.layer.existing;
        direction.run(machine, existing, weights, (x, y), [relu, false], scratch)?;
        Ok(true)
    }

    /// As [`Layer::input_gradient`], in f32. Says whether it did.
    ///
    /// # Panics
    /// If the tensors are not this layer's, or of more samples than it is for.
    ///
    /// # Errors
    /// If the device refuses a launch.
    pub fn input_gradient(
        &self,
        machine: &mut dyn Machine,
        values: Address,
        (dy, dx): (Tensor, Tensor),
        accumulate: bool,
        scratch: Address,
    ) -> Result<bool, CudaError> {
        self.check(dx, dy);
        let Some(direction) = &self.input_gradient else { return Ok(false) };
        let [rows, columns] = self.layer.shape.stride;
        if direction.passes.len() < rows * columns && !self.layer.covers() && !accumulate {
            // Some places are read by no tap.
            machine.clear(dx.at, 4 * dx.len() as u64)?;
        }
        let weights = [values, Address::default()];
        let existing = self.layer.existing;
        direction.run(machine, existing, weights, (dy, dx), [false, accumulate], scratch)?;
        Ok(true)
    }

    /// As [`Layer::weight_gradient`], in f32; `partials` holds [`SparseLayer::partials`] values. Says whether it did.
    ///
    /// # Panics
    /// If the tensors are not this layer's, or of more samples than it is for.
    ///
    /// # Errors
    /// If the device refuses a launch.
    pub fn weight_gradient(
        &self,
        machine: &mut dyn Machine,
        (dy, x): (Tensor, Tensor),
        gradient: Address,
        partials: Address,
    ) -> Result<bool, CudaError> {
        self.check(x, dy);
        let Some((pass, tile)) = &self.weight_gradient else { return Ok(false) };
        let existing = self.layer.existing;
        if existing == 0 {
            return Ok(true);
        }
        let tiles: usize = tile.count(x.samples, pass.lattice.places).iter().product();
        let per_part = tiles.div_ceil(self.parts(pass, tile));
        let parts = tiles.div_ceil(per_part);
        let list = self.units_at.at(index::gradient_words(&self.layer, pass, tile) - existing);
        let mask = self.layer.mask;
        let pointers = [dy.at, x.at, mask.bits, mask.before, partials, self.units_at, list];
        let mut args = pointers.map(Arg::Address).to_vec();
        let mut fields = windows(pass, tile, x.samples);
        let area = self.layer.area();
        let rest = [
            pass.lattice.out[0],
            pass.width,
            pass.depth,
            area,
            self.layer.shape.kernel[1],
            usize::from(pass.is_whole()),
            tiles,
            per_part,
            existing,
        ];
        fields.extend(rest.map(int));
        args.push(Arg::Ints(&fields));
        let grid = Grid { blocks: [self.units, parts, 1].map(word), threads: THREADS as u32 };
        machine.launch(Kernel::SparseGradient, grid, &args)?;
        sum_partials(machine, partials, gradient, existing, parts)?;
        Ok(true)
    }

    fn check(&self, x: Tensor, y: Tensor) {
        self.layer.check(x, y);
        assert!(x.samples <= self.samples, "{} samples of {}", x.samples, self.samples);
    }
}
