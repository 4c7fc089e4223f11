//! A task that the made people do not have.

/// Pictures of 16 x 16 in three classes of stripes, as IDX: a task that the made people do not have.
pub fn write(folder: &std::path::Path) {
    std::fs::create_dir(folder).unwrap();
    for (part, count) in [("train", 90u32), ("t10k", 30)] {
        let mut images = [0x803u32, count, 16, 16].map(u32::to_be_bytes).concat();
        let mut labels = [0x801u32, count].map(u32::to_be_bytes).concat();
        for i in 0..count {
            labels.push((i % 3) as u8);
            for at in 0..256u32 {
                let (y, x) = (at / 16, at % 16);
                let along = [y, x, x + y][(i % 3) as usize] + i / 3;
                let noise = (at * 37 + i * 101) % 64;
                images.push((noise + if along % 4 < 2 { 150 } else { 0 }) as u8);
            }
        }
        std::fs::write(folder.join(format!("{part}-images-idx3-ubyte")), images).unwrap();
        std::fs::write(folder.join(format!("{part}-labels-idx1-ubyte")), labels).unwrap();
    }
}
