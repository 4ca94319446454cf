// The enumeration kernel for GPUs: every state below a list of prefixes, screened in float32; what passes goes to a buffer.
// Compiled after warp.h, by NVRTC for a GPU and by a C++ compiler for the tests.
//
// A *node* is a prefix of picks with the states that its own rows hold (see the CPU's kernel.py). All shapes of nodes are *panels*, tables X of
// rows r and columns c with
//
//     energy = (t[r] + X[r, c]) + u[c],   t[r] = E + base[r] + sum over picks of F[pick, r],   u[c] = base[c] + sum over picks of F[pick, c],
//
// where E is the energy of the prefix, `base` the fields of the task's own prefix, and the sums run over the picks below it. Only t and u differ
// between nodes. So a warp takes NODES nodes at once: X comes once from memory for all of them, a lane holds NODES x 4 minima over the rows in
// registers, and per state there remain one addition and one minimum. +inf in F, X or base marks what is not a state of a node.
//
// A *unit* is WARP nodes of one *section* (nodes of the same depth, so with the same panels), numbered through; a *strip* is a run of nodes in it
// that have their lowest pick and their task in common. Warps draw units until none is left. Lane l unranks node l, then the nodes are screened
// NODES at a time.
//
// Rounding: at most 3 picks + 4 additions lie between the tables and an energy; the layout's margin allows for 4 picks + 8.

typedef long long i64;
typedef unsigned long long u64;

#define NODES 8  // nodes that share each load of X
#define CHUNK 128  // rows whose t is in shared memory at a time

struct alignas(16) Quad {
    float v[4];
};

struct Panel {
    i64 x, x_stride;  // X: offset in the tables, distance of two rows
    i64 rows, row_start;  // number of rows, and where they begin in base and in a row of F
    i64 columns, column_start;  // likewise; a multiple of 4
    i64 first_rows;  // offset of the first row that matters to each tile of columns; -1 if all do
    i64 lanes;  // lanes side by side along the columns, a power of two; the others take other rows
};

struct Section {
    i64 unit_first, node_stop;
    i64 strip_first, strip_stop;
    i64 panel_first, panel_stop;
};

struct Strip {
    i64 node_first, task;
    i64 picks;  // below the task's prefix
    i64 limit;  // only rows below it hold states
    i64 states;  // per node
};  // the segments follow

struct Segment {
    i64 start, picks;  // so many positions from `start` on
    i64 base, count;  // colexicographic ranks [base, base + count) of the subsets
};

enum Counter { NEXT, VISITED, SURVIVORS };

// NODES nodes that are screened together. In colexicographic order neighbours differ in few picks, and what they share is added up once.
struct Group {
    u64 shared_picks;  // bit d: all have the same pick d
    int node;  // the first one, in the unit
    int picks, limit;  // the most of any of them
    int one_task;
};

// Shared by the lanes of a warp; followed by the picks, [pick][node].
struct Warp {
    Quad rows[CHUNK][NODES / 4];  // t
    float energy[WARP];
    int task[WARP], picks[WARP], limit[WARP];
    u64 unit;
    Group group;
    float level;
};
static_assert(sizeof(Warp) == 4656, "tables.py tells the launch how much memory a warp needs");

struct Sheet {
    const float *tables;
    i64 stride;  // of F, which comes first in the tables, and of the bases
    const float *bases, *base_energies;
    const int *first_rows;
    const Panel *panels;
    const Section *sections;
    const i64 *strips;
    i64 strip_size;
    const u64 *binomials;
    i64 num_positions, max_picks;
};

struct Buffer {
    u64 key_first, key_stop, capacity;
    i64 max_rows, max_columns, record_size;
    int *records;
    u64 *counters;
};

// Where the row of F that belongs to a node's pick begins, in Quads; beyond its last pick the row of zeros.
DEVICE unsigned *pick_rows(Warp *warp, int d) {
    return (unsigned *)(warp + 1) + d * WARP;
}

DEVICE const unsigned *pick_rows(const Warp *warp, int d) {
    return (const unsigned *)(warp + 1) + d * WARP;
}

DEVICE const float *base_of(const Sheet &sheet, const Warp *warp, int node, i64 at) {
    return sheet.bases + warp->task[node] * sheet.stride + at;
}

DEVICE const float *row_of(const Sheet &sheet, const Warp *warp, int d, int node, i64 at) {
    return sheet.tables + 4ull * pick_rows(warp, d)[node] + at;
}

// u of one column of a node.
DEVICE float field(const Sheet &sheet, const Warp *warp, int node, i64 at) {
    float sum = *base_of(sheet, warp, node, at);
    ROLLED
    for (int d = 0; d < warp->picks[node]; ++d) sum += *row_of(sheet, warp, d, node, at);
    return sum;
}

// Picks, task and energy of a node; beyond the section's last node an energy that hides all its states.
DEVICE void unrank(const Sheet &sheet, const Section &section, Warp *warp, int lane, u64 *visited) {
    i64 node = (i64)warp->unit * WARP + lane;
    const bool valid = node < section.node_stop;
    if (!valid) node = section.node_stop - 1;
    i64 first = section.strip_first, last = section.strip_stop;
    while (last - first > 1) {
        const i64 middle = (first + last) / 2;
        if (*(sheet.strips + middle * sheet.strip_size) <= node) first = middle;
        else last = middle;
    }
    const i64 *at = sheet.strips + first * sheet.strip_size;
    const Strip strip = *(const Strip *)at;
    const Segment *begin = (const Segment *)(at + sizeof(Strip) / sizeof(i64));
    const Segment *segment = (const Segment *)(at + sheet.strip_size);
    u64 number = (u64)(node - strip.node_first);
    i64 filled = strip.picks;
    while (segment-- != begin) {
        u64 rank = number % (u64)segment->count + (u64)segment->base;
        number /= (u64)segment->count;
        filled -= segment->picks;
        i64 above = sheet.num_positions - segment->start;  // positions that may still be picked
        for (i64 d = 0; d < segment->picks; ++d) {
            const i64 left = segment->picks - d;
            const u64 *row = sheet.binomials + left * (sheet.num_positions + 1);
            i64 low = left - 1, high = above;
            while (high - low > 1) {  // the highest p with binomial(p, left) <= rank
                const i64 middle = (low + high) / 2;
                if (row[middle] <= rank) low = middle;
                else high = middle;
            }
            rank -= row[low];
            above = low;
            pick_rows(warp, (int)(filled + d))[lane] = (unsigned)((segment->start + low) * sheet.stride / 4);
        }
    }
    for (i64 d = strip.picks; d < sheet.max_picks; ++d) {
        pick_rows(warp, (int)d)[lane] = (unsigned)(sheet.num_positions * sheet.stride / 4);
    }
    const float *base = sheet.bases + strip.task * sheet.stride;
    float energy = sheet.base_energies[strip.task];
    ROLLED
    for (int d = 0; d < strip.picks; ++d) {
        const i64 position = 4ll * pick_rows(warp, d)[lane] / sheet.stride;
        float own = base[position];
        ROLLED
        for (int e = 0; e < d; ++e) own += sheet.tables[4ull * pick_rows(warp, e)[lane] + position];
        energy += own;
    }
    warp->energy[lane] = valid ? energy : INFINITE;
    warp->task[lane] = (int)strip.task;
    warp->picks[lane] = (int)strip.picks;
    warp->limit[lane] = (int)strip.limit;
    if (valid) atomicAdd(visited, (u64)strip.states);
}

DEVICE void describe_group(Warp *warp, int node) {
    Group group = {0, node, 0, 0, 1};
    ROLLED
    for (int g = node; g < node + NODES; ++g) {
        if (warp->limit[g] > group.limit) group.limit = warp->limit[g];
        if (warp->picks[g] > group.picks) group.picks = warp->picks[g];
        if (warp->task[g] != warp->task[node]) group.one_task = 0;
    }
    ROLLED
    for (int d = 0; d < group.picks && d < 64; ++d) {
        bool shared = true;
        UNROLL
        for (int g = 1; g < NODES; ++g) shared &= pick_rows(warp, d)[node + g] == pick_rows(warp, d)[node];
        group.shared_picks |= (u64)shared << d;
    }
    warp->group = group;
}

DEVICE bool is_shared(const Group &group, int d) {
    return d < 64 && (group.shared_picks >> d & 1);
}

// t of the rows [first, first + count) for the nodes of a group.
DEVICE void fill_rows(const Sheet &sheet, const Panel &panel, Warp *warp, int lane, int first, int count) {
    const Group &group = warp->group;
    const int node = group.node;
    ROLLED
    for (int r = lane; r < count; r += WARP) {
        const i64 at = panel.row_start + first + r;
        float shared = group.one_task ? *base_of(sheet, warp, node, at) : 0.0f;
        float t[NODES];
        UNROLL
        for (int g = 0; g < NODES; ++g) t[g] = group.one_task ? 0.0f : *base_of(sheet, warp, node + g, at);
        ROLLED
        for (int d = 0; d < group.picks; ++d) {
            if (is_shared(group, d)) {
                shared += *row_of(sheet, warp, d, node, at);
                continue;
            }
            UNROLL
            for (int g = 0; g < NODES; ++g) t[g] += *row_of(sheet, warp, d, node + g, at);
        }
        UNROLL
        for (int g = 0; g < NODES; ++g) t[g] = warp->energy[node + g] + (t[g] + shared);
        UNROLL
        for (int g = 0; g < NODES; g += 4) warp->rows[r][g / 4] = Quad{{t[g], t[g + 1], t[g + 2], t[g + 3]}};
    }
}

// Write the states of the nodes in `hits` that pass the screen, among those that one lane has screened.
DEVICE void collect(const Sheet &sheet, const Panel &panel, i64 panel_index, const Warp *warp, const Buffer &buffer, int node,
                    unsigned hits, int first, int begin, int count, int step, i64 column) {
    ROLLED
    for (int slot = 0; slot < NODES * 4; ++slot) {
        const int g = node + slot / 4;
        const i64 at = column + slot % 4;
        if (!(hits >> (slot / 4) & 1)) continue;
        const float u = field(sheet, warp, g, panel.column_start + at);
        ROLLED
        for (int r = begin; r < count; r += step) {
            const float x = sheet.tables[panel.x + (first + r) * panel.x_stride + at];
            const float t = ((const float *)warp->rows[r])[slot / 4];
            if (!((t + x) + u < warp->level)) continue;
            const u64 key = ((panel_index * WARP + g) * buffer.max_rows + first + r) * buffer.max_columns + at;
            if (key < buffer.key_first || key >= buffer.key_stop) continue;
            const u64 place = atomicAdd(&buffer.counters[SURVIVORS], 1);
            if (place >= buffer.capacity) return;  // all of this launch is done again
            int *record = buffer.records + place * buffer.record_size;
            record[0] = warp->task[g];
            record[1] = (int)(panel.row_start + first + r);
            record[2] = (int)(panel.column_start + at);
            ROLLED
            for (int d = 0; d < buffer.record_size - 3; ++d) record[3 + d] = (int)(4ull * pick_rows(warp, d)[g] / sheet.stride);
        }
    }
}

// Screen the rows in shared memory against all columns of a panel, one lane's part.
DEVICE void screen_columns(const Sheet &sheet, const Panel &panel, i64 panel_index, const Warp *warp, const Buffer &buffer, int lane,
                           int first, int count) {
    const Group &group = warp->group;
    const int node = group.node;
    const int lanes = (int)panel.lanes, step = WARP / lanes;
    const i64 stride = step * panel.x_stride / 4;
    int tile = 0;
    for (i64 left = 0; left < panel.columns; left += 4 * lanes, ++tile) {
        int begin = 0;
        if (panel.first_rows >= 0) {
            begin = sheet.first_rows[panel.first_rows + tile] - first;
            if (begin >= count) break;
            if (begin < 0) begin = 0;
        }
        begin += lane / lanes;
        const i64 column = left + 4 * (lane % lanes);
        if (column >= panel.columns) continue;
        const i64 at = panel.column_start + column;
        float best[NODES][4];
        UNROLL
        for (int g = 0; g < NODES; ++g) {
            UNROLL
            for (int c = 0; c < 4; ++c) best[g][c] = INFINITE;
        }
        const Quad *x_row = (const Quad *)(sheet.tables + panel.x + (first + begin) * panel.x_stride + column);
        const Quad *t_row = warp->rows[begin];
        // The hot loop: three 16-byte loads, 32 additions and 32 minima for 32 states in each lane.
        UNROLL_TWICE
        for (int r = (count - begin + step - 1) / step; r > 0; --r) {
            const Quad x = *x_row;
            x_row += stride;
            UNROLL
            for (int g = 0; g < NODES; ++g) {
                const Quad t = t_row[g / 4];
                UNROLL
                for (int c = 0; c < 4; ++c) best[g][c] = MINIMUM(best[g][c], t.v[g % 4] + x.v[c]);
            }
            t_row += step * (NODES / 4);
        }
        Quad shared = {{0.0f, 0.0f, 0.0f, 0.0f}};
        if (group.one_task) {
            shared = *(const Quad *)base_of(sheet, warp, node, at);
        } else {
            UNROLL
            for (int g = 0; g < NODES; ++g) {
                const Quad u = *(const Quad *)base_of(sheet, warp, node + g, at);
                UNROLL
                for (int c = 0; c < 4; ++c) best[g][c] += u.v[c];
            }
        }
        ROLLED
        for (int d = 0; d < group.picks; ++d) {
            if (is_shared(group, d)) {
                const Quad u = *(const Quad *)row_of(sheet, warp, d, node, at);
                UNROLL
                for (int c = 0; c < 4; ++c) shared.v[c] += u.v[c];
                continue;
            }
            UNROLL
            for (int g = 0; g < NODES; ++g) {
                const Quad u = *(const Quad *)row_of(sheet, warp, d, node + g, at);
                UNROLL
                for (int c = 0; c < 4; ++c) best[g][c] += u.v[c];
            }
        }
        unsigned hits = 0;
        UNROLL
        for (int g = 0; g < NODES; ++g) {
            UNROLL
            for (int c = 0; c < 4; ++c) best[g][c] += shared.v[c];
            const float lowest = MINIMUM(MINIMUM(best[g][0], best[g][1]), MINIMUM(best[g][2], best[g][3]));
            hits |= (unsigned)(lowest < warp->level) << g;
        }
        if (hits) collect(sheet, panel, panel_index, warp, buffer, node, hits, first, begin, count, step, column);
    }
}

KERNEL screen(const float *tables, i64 stride, const int *first_rows, const Panel *panels, const u64 *binomials, i64 num_positions,
              const float *bases, const float *base_energies, const Section *sections, const i64 *strips, i64 strip_size, i64 max_picks,
              const float *level, u64 unit_first, u64 unit_stop, u64 key_first, u64 key_stop, i64 max_rows, i64 max_columns,
              u64 *counters, int *records, u64 capacity) {
    Warp *warp = (Warp *)warp_memory(sizeof(Warp) + max_picks * WARP * sizeof(int));
    const Sheet sheet = {tables, stride, bases, base_energies, first_rows, panels, sections, strips, strip_size, binomials, num_positions, max_picks};
    const Buffer buffer = {key_first, key_stop, capacity, max_rows, max_columns, max_picks + 3, records, counters};
    for (;;) {
        LANES(lane) {
            if (lane == 0) {
                warp->unit = unit_first + atomicAdd(&counters[NEXT], 1);
                warp->level = *level;
                // What follows a full buffer is done again anyway.
                if (*(volatile u64 *)&counters[SURVIVORS] > capacity) warp->unit = unit_stop;
            }
        }
        SYNC();
        const u64 unit = warp->unit;
        if (unit >= unit_stop) return;
        const Section *section = sections;
        while ((u64)section[1].unit_first <= unit) ++section;
        LANES(lane) unrank(sheet, *section, warp, lane, &counters[VISITED]);
        SYNC();
        for (int node = 0; node < WARP; node += NODES) {
            if ((i64)unit * WARP + node >= section->node_stop) break;
            LANES(lane) {
                if (lane == 0) describe_group(warp, node);
            }
            SYNC();
            for (i64 p = section->panel_first; p < section->panel_stop; ++p) {
                const Panel panel = panels[p];
                const int rows = panel.rows < warp->group.limit ? (int)panel.rows : warp->group.limit;
                for (int first = 0; first < rows; first += CHUNK) {
                    const int count = rows - first < CHUNK ? rows - first : CHUNK;
                    LANES(lane) fill_rows(sheet, panel, warp, lane, first, count);
                    SYNC();
                    LANES(lane) screen_columns(sheet, panel, p, warp, buffer, lane, first, count);
                    SYNC();
                }
            }
        }
    }
}
