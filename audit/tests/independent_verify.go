// Checks an audit log with nothing of ours: Go's standard library and golang.org/x/mod/sumdb, which is
// what the go command trusts its checksum database with.
//
//	independent_verify [-since CHECKPOINT] [-cosigned NOTE -witness VKEY_FILE] LOG_DIR VKEY_FILE
//
// Looks at every file: the checkpoint, every entry bundle and hash tile (partial ones as well), every
// batch of every segment, every seal and the keys that follow from it, proofs, and cosignatures. VKEY_FILE
// may hold any key that the log has had. The oldest segments and bundles may be missing if an entry of auditd
// permits to prune them. Prints size and root; exit status 1 at the first thing that is
// not as it must be.
package main

import (
	"bytes"
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"sort"
	"strconv"
	"strings"

	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"
)

const (
	tileHeight = 8
	noteFrame  = 768
)

func check(ok bool, format string, arguments ...interface{}) {
	if !ok {
		fmt.Fprintf(os.Stderr, format+"\n", arguments...)
		os.Exit(1)
	}
}

func must(err error, what string) {
	check(err == nil, "%s: %v", what, err)
}

func read(path string) []byte {
	data, err := os.ReadFile(path)
	must(err, "reading")
	return data
}

func firstLine(path string) string {
	return strings.SplitN(string(read(path)), "\n", 2)[0]
}

// --- notes ---

// witness verifies C2SP cosignature/v1, which x/mod does not know.
type witness struct {
	name string
	hash uint32
	key  ed25519.PublicKey
}

func (w *witness) Name() string    { return w.name }
func (w *witness) KeyHash() uint32 { return w.hash }
func (w *witness) Verify(msg, sig []byte) bool {
	if len(sig) != 8+ed25519.SignatureSize {
		return false
	}
	time := binary.BigEndian.Uint64(sig)
	signed := fmt.Sprintf("cosignature/v1\ntime %d\n%s", time, msg)
	return time < 1<<63 && ed25519.Verify(w.key, []byte(signed), sig[8:])
}

func newWitness(vkey string) *witness {
	parts := strings.SplitN(vkey, "+", 3)
	check(len(parts) == 3, "malformed witness key")
	key, err := base64.StdEncoding.DecodeString(parts[2])
	must(err, "witness key")
	check(len(key) == 33 && key[0] == 4, "not a witness key")
	sum := sha256.Sum256(append([]byte(parts[0]+"\n"), key...))
	check(hex.EncodeToString(sum[:4]) == parts[1], "the witness key does not fit its hash")
	return &witness{parts[0], binary.BigEndian.Uint32(sum[:]), key[1:]}
}

// openNote checks a note against keys that must all have signed it, and that it is spelled as it must be:
// x/mod drops repeated signatures and takes base64 with odd trailing bits.
func openNote(data []byte, keys ...note.Verifier) string {
	opened, err := note.Open(data, note.VerifierList(keys...))
	must(err, "note")
	check(len(opened.Sigs) == len(keys), "the note lacks a signature")
	lines := bytes.Count(data, []byte("\n")) - strings.Count(opened.Text, "\n") - 1
	check(lines == len(opened.Sigs)+len(opened.UnverifiedSigs), "a signature stands twice")
	for _, sig := range append(opened.Sigs, opened.UnverifiedSigs...) {
		raw, err := base64.StdEncoding.DecodeString(sig.Base64)
		must(err, "signature")
		check(base64.StdEncoding.EncodeToString(raw) == sig.Base64, "a signature in another spelling")
	}
	return opened.Text
}

func open(data []byte, keys ...note.Verifier) tlog.Tree {
	return treeOf(openNote(data, keys...), keys[0].Name())
}

func signedBy(data []byte, key note.Verifier) bool {
	opened, err := note.Open(data, note.VerifierList(key))
	return err == nil && len(opened.Sigs) == 1
}

func treeOf(body, origin string) tlog.Tree {
	parts := strings.Split(body, "\n")
	check(len(parts) == 4 && parts[3] == "", "a checkpoint has three lines")
	check(parts[0] == origin, "another log's checkpoint")
	size, err := strconv.ParseInt(parts[1], 10, 64)
	check(err == nil && strconv.FormatInt(size, 10) == parts[1] && size >= 0, "malformed size")
	hash, err := tlog.ParseHash(parts[2])
	check(err == nil && hash.String() == parts[2], "malformed root")
	return tlog.Tree{N: size, Hash: hash}
}

// sizeOf reads what a checkpoint claims, before it is known who must have signed it.
func sizeOf(data []byte) int64 {
	parts := strings.SplitN(string(data), "\n", 3)
	check(len(parts) == 3, "no checkpoint")
	size, err := strconv.ParseInt(parts[1], 10, 64)
	// x/mod counts on sizes that fit a machine, and may never end with others.
	check(err == nil && size > 0 && size < 1<<40, "no log has %s entries", parts[1])
	return size
}

// --- epochs ---

// epoch: whose signatures every checkpoint behind its seal must have.
type epoch struct {
	index  int64 // of the seal
	number int
	keys  []note.Verifier
	log   string // the log's key, as text
	first string // the epoch's key, as text
}

type chain []epoch

func verifier(vkey string) note.Verifier {
	key, err := note.NewVerifier(vkey)
	must(err, "key")
	return key
}

// of gives the keys for a tree of this size.
func (c chain) of(size int64) []note.Verifier {
	at := sort.Search(len(c), func(i int) bool { return c[i].index >= size })
	check(at > 0, "no seal before entry %d", size)
	return c[at-1].keys
}

// add takes a seal. Behind what was pruned the first one needs the signature of the log's key that it names alone.
func (c *chain) add(value *entry, index int64, origin string, root tlog.Hash, isPruned bool) {
	if value.Event != "epoch.seal" {
		check(index > 0, "the log does not begin with the seal of epoch 0")
		return
	}
	lines := strings.Split(value.Fields.Note, "\n")
	number := 0
	if len(*c) > 0 {
		number = (*c)[len(*c)-1].number + 1
	} else if isPruned && len(lines) > 2 {
		number, _ = strconv.Atoi(lines[2])
	}
	check(len(lines) > 9 && lines[0] == "oqto-audit-seal/v1" && lines[1] == origin &&
		lines[2] == strconv.Itoa(number) && lines[3] == strconv.FormatInt(index, 10) &&
		lines[4] == root.String() && lines[8] == "", "entry %d: not the seal of this place", index)
	next := epoch{index, number, []note.Verifier{verifier(lines[7]), verifier(lines[6])}, lines[7], lines[6]}
	check(next.keys[0].Name() == origin && next.keys[1].Name() == origin+"/epoch/"+lines[2],
		"entry %d: a seal with keys of other names", index)
	var signers []note.Verifier
	if len(*c) > 0 {
		signers = (*c)[len(*c)-1].keys
	}
	if len(*c) == 0 || (*c)[len(*c)-1].log != next.log {
		signers = append(signers[:len(signers):len(signers)], next.keys[0])
	}
	openNote([]byte(value.Fields.Note), signers...)
	*c = append(*c, next)
}

// --- tiles ---

type tileDir string

func (dir tileDir) path(level string, index int64, width int) string {
	name := fmt.Sprintf("%03d", index%1000)
	for index /= 1000; index > 0; index /= 1000 {
		name = fmt.Sprintf("x%03d/%s", index%1000, name)
	}
	if width < 1<<tileHeight {
		name += fmt.Sprintf(".p/%d", width)
	}
	return filepath.Join(string(dir), "tile", level, name)
}

// file gives the narrowest file that has `width` entries, and how many it must have.
func (dir tileDir) file(level string, index int64, width int) ([]byte, int) {
	for w := width; w <= 1<<tileHeight; w++ {
		if data, err := os.ReadFile(dir.path(level, index, w)); err == nil {
			return data, w
		}
	}
	check(false, "%s is missing", dir.path(level, index, width))
	return nil, 0
}

func (dir tileDir) Height() int                     { return tileHeight }
func (dir tileDir) SaveTiles([]tlog.Tile, [][]byte) {}
func (dir tileDir) ReadTiles(tiles []tlog.Tile) ([][]byte, error) {
	var data [][]byte
	for _, tile := range tiles {
		content, width := dir.file(strconv.Itoa(tile.L), tile.N, tile.W)
		if len(content) != width*tlog.HashSize {
			return nil, fmt.Errorf("%s has a wrong length", tile.Path())
		}
		data = append(data, content[:tile.W*tlog.HashSize])
	}
	return data, nil
}

func splitBundle(data []byte, where string) [][]byte {
	var entries [][]byte
	for len(data) > 0 {
		check(len(data) >= 2 && len(data)-2 >= int(binary.BigEndian.Uint16(data)), "%s: cut short", where)
		end := 2 + int(binary.BigEndian.Uint16(data))
		entries = append(entries, data[2:end])
		data = data[end:]
	}
	return entries
}

// checkPublished follows the checkpoint: every entry up to it, against authenticated tiles.
func checkPublished(dir tileDir, tree tlog.Tree, from int64) {
	hashes := tlog.TileHashReader(tree, dir)
	for tile := from >> tileHeight; tile<<tileHeight < tree.N; tile++ {
		width := tree.N - tile<<tileHeight
		if width > 1<<tileHeight {
			width = 1 << tileHeight
		}
		bundle, holds := dir.file("entries", tile, int(width))
		entries := splitBundle(bundle, dir.path("entries", tile, int(width)))
		check(len(entries) == holds, "bundle %d holds %d entries, expected %d", tile, len(entries), holds)
		var indexes []int64
		for i := int64(0); i < width; i++ {
			indexes = append(indexes, tlog.StoredHashIndex(0, tile<<tileHeight+i))
		}
		leaves, err := hashes.ReadHashes(indexes)
		must(err, "tiles")
		for i := range leaves {
			index := tile<<tileHeight + int64(i)
			check(tlog.RecordHash(entries[i]) == leaves[i], "entry %d does not match its leaf hash", index)
			checkEntry(entries[i], index)
		}
	}
	for _, index := range []int64{0, tree.N / 3, tree.N - 1} {
		leaf, err := hashes.ReadHashes([]int64{tlog.StoredHashIndex(0, index)})
		must(err, "tiles")
		proof, err := tlog.ProveRecord(tree.N, index, hashes)
		must(err, "ProveRecord")
		must(tlog.CheckRecord(proof, tree.N, tree.Hash, index, leaf[0]), "CheckRecord")
	}
}

type entry struct {
	Seq    *int64
	Event  string
	Actor  struct{ Process string }
	Fields struct {
		Note    string
		Minimum string `json:"minimum_index"`
	}
}

func checkEntry(text []byte, index int64) *entry {
	// What is no text in the fields that matter here is an object: then it is none of them.
	var value entry
	if json.Unmarshal(text, &value) != nil {
		var least struct{ Seq *int64 }
		check(json.Unmarshal(text, &least) == nil, "entry %d is no JSON with its index", index)
		value.Seq = least.Seq
	}
	check(value.Seq != nil && *value.Seq == index, "entry %d is no JSON with its index", index)
	return &value
}

// checkContinues demands that `tree` continues `old`.
func checkContinues(dir tileDir, old, tree tlog.Tree) {
	check(old.N <= tree.N, "ROLLBACK: %d entries, %d were seen before", tree.N, old.N)
	if old.N == tree.N {
		check(old.Hash == tree.Hash, "FORK: another tree of %d entries", tree.N)
		return
	}
	proof, err := tlog.ProveTree(tree.N, old.N, tlog.TileHashReader(tree, dir))
	must(err, "ProveTree")
	must(tlog.CheckTree(proof, tree.N, tree.Hash, old.N, old.Hash), "FORK: CheckTree")
}

// --- segments ---

// storage is the whole tree, rebuilt from the segments.
type storage struct{ hashes []tlog.Hash }

func (s *storage) ReadHashes(indexes []int64) ([]tlog.Hash, error) {
	var found []tlog.Hash
	for _, index := range indexes {
		if index >= int64(len(s.hashes)) {
			return nil, fmt.Errorf("beyond the tree")
		}
		found = append(found, s.hashes[index])
	}
	return found, nil
}

type segments struct {
	storage
	chain
	origin    string
	logKey    string
	first     int64 // entries before it were pruned
	permitted int64 // to be pruned
	size      int64
	notes     map[int64][]byte // by the size that they sign
	early     [][]byte         // notes before the first seal that is left
	firstSeal []byte
}

func (s *segments) isEarly(size int64) bool {
	return s.first > 0 && (len(s.chain) == 0 || s.chain[0].index >= size)
}

// of gives the keys that must have signed this note. Before the first seal that is left of a pruned log: the
// log's key, which is the given one or, if it was rotated later, the one that this seal names.
func (s *segments) of(data []byte) []note.Verifier {
	size := sizeOf(data)
	if !s.isEarly(size) {
		return s.chain.of(size)
	}
	given := verifier(s.logKey)
	if len(s.chain) > 0 && !signedBy(data, given) {
		return s.chain[0].keys[:1]
	}
	return []note.Verifier{given}
}

// checkEarly does so once the first seal is known. If that one is a rotation, no seal names the key before it any
// more: the notes' trees were compared, which it seals.
func (s *segments) checkEarly() {
	isRotation := bytes.Count(s.firstSeal, []byte("\n\u2014 "+s.origin+" ")) > 1
	for _, data := range s.early {
		if keys := s.of(data); !isRotation || signedBy(data, keys[0]) {
			open(data, keys...)
		}
	}
}

// hasKey: one of the log's keys is the given one.
func (s *segments) hasKey() bool {
	for _, epoch := range s.chain {
		if epoch.log == s.logKey {
			return true
		}
	}
	return s.first > 0 && (len(s.chain) == 0 || signedBy(s.firstSeal, verifier(s.logKey)))
}

// beginAt takes the hashes of what was pruned from the tiles: the next batch's root will show them right.
func (s *segments) beginAt(dir tileDir, first int64) {
	for s.first = first; s.size < first; s.size++ {
		tile, _ := dir.file("0", s.size>>tileHeight, int(min64(first-s.size>>tileHeight<<tileHeight, 1<<tileHeight)))
		at := int(s.size&(1<<tileHeight-1)) * tlog.HashSize
		check(len(tile) >= at+tlog.HashSize, "a hash tile is too short")
		var leaf tlog.Hash
		copy(leaf[:], tile[at:])
		hashes, err := tlog.StoredHashesForRecordHash(s.size, leaf, s)
		must(err, "StoredHashesForRecordHash")
		s.hashes = append(s.hashes, hashes...)
	}
}

func min64(a, b int64) int64 {
	if a < b {
		return a
	}
	return b
}

func digestFits(frame []byte) bool {
	sum := sha256.Sum256(frame[:len(frame)-32])
	return bytes.Equal(sum[:], frame[len(frame)-32:])
}

// isTail: what a writer leaves that is stopped in the middle of a batch.
func isTail(rest []byte) bool {
	if len(bytes.Trim(rest, "\x00")) == 0 {
		return true
	}
	if len(rest) < 4 {
		return strings.HasPrefix("\xffOE1", string(rest))
	}
	if len(rest) < 20 {
		return string(rest[:4]) == "\xffOE1"
	}
	end := 20 + int(binary.LittleEndian.Uint32(rest[16:])) + 32
	return len(rest) < end || len(rest) <= end+noteFrame && len(bytes.Trim(rest[end:], "\x00")) == 0
}

func (s *segments) read(path string, isLast bool) {
	data := read(path)
	for len(data) > 0 {
		if isLast && isTail(data) {
			return
		}
		check(len(data) >= 20 && string(data[:4]) == "\xffOE1", "%s: no batch", path)
		count := binary.LittleEndian.Uint32(data[4:])
		first := binary.LittleEndian.Uint64(data[8:])
		end := 20 + int(binary.LittleEndian.Uint32(data[16:])) + 32
		check(len(data) >= end+noteFrame, "%s: a batch is cut short", path)
		check(digestFits(data[:end]), "%s: a batch's digest", path)
		entries := splitBundle(data[20:end-32], path)
		check(len(entries) == int(count) && count > 0, "%s: a batch's count", path)
		check(int64(first) == s.size, "%s: begins with %d, expected %d", path, first, s.size)
		for _, entry := range entries {
			s.add(entry)
		}
		s.checkNote(data[end:end+noteFrame], path)
		data = data[end+noteFrame:]
	}
}

func (s *segments) add(text []byte) {
	value := checkEntry(text, s.size)
	s.chain.add(value, s.size, s.origin, s.root(s.size), s.first > 0)
	if len(s.chain) == 1 && s.firstSeal == nil {
		s.firstSeal = []byte(value.Fields.Note)
	}
	if value.Event == "log.prune" && value.Actor.Process == "auditd" {
		minimum, err := strconv.ParseInt(value.Fields.Minimum, 10, 64)
		must(err, "minimum_index")
		if minimum > s.permitted {
			s.permitted = minimum
		}
	}
	hashes, err := tlog.StoredHashes(s.size, text, s)
	must(err, "StoredHashes")
	s.hashes = append(s.hashes, hashes...)
	s.size++
}

func (s *segments) checkNote(frame []byte, path string) {
	check(string(frame[:4]) == "\xffOC1" && digestFits(frame), "%s: a checkpoint's digest", path)
	length := int(binary.LittleEndian.Uint32(frame[4:]))
	check(length <= noteFrame-16-32, "%s: a checkpoint's length", path)
	check(len(bytes.Trim(frame[16+length:noteFrame-32], "\x00")) == 0, "%s: behind a checkpoint", path)
	data := frame[16 : 16+length]
	var tree tlog.Tree
	if len(s.chain) == 0 && s.first > 0 {
		s.early = append(s.early, data)
		body, _, _ := strings.Cut(string(data), "\n\n")
		tree = treeOf(body+"\n", s.origin)
	} else {
		tree = open(data, s.chain.of(s.size)...)
	}
	check(tree.N == s.size && binary.LittleEndian.Uint64(frame[8:]) == uint64(s.size),
		"%s: a checkpoint of another size", path)
	check(tree.Hash == s.root(s.size), "%s: not the root that was signed for %d entries", path, s.size)
	s.notes[s.size] = data
}

func (s *segments) root(size int64) tlog.Hash {
	check(size <= s.size, "the segments have %d entries, expected %d", s.size, size)
	if size == 0 {
		return tlog.Hash(sha256.Sum256(nil))
	}
	hash, err := tlog.TreeHash(size, s)
	must(err, "TreeHash")
	return hash
}

func readSegments(dir, origin, logKey string) *segments {
	s := &segments{origin: origin, logKey: logKey, notes: map[int64][]byte{}}
	files, err := os.ReadDir(filepath.Join(dir, "segment"))
	must(err, "segments")
	var names []string
	for _, file := range files {
		names = append(names, file.Name())
	}
	sort.Strings(names)
	check(len(names) > 0, "no segment")
	if first, err := strconv.ParseInt(names[0], 10, 64); err == nil && first > 0 && first < 1<<40 {
		s.beginAt(tileDir(dir), first)
	}
	for i, name := range names {
		check(name == fmt.Sprintf("%020d", s.size), "segment %s, expected one of entry %d", name, s.size)
		s.read(filepath.Join(dir, "segment", name), i == len(names)-1)
	}
	s.checkEarly()
	check(s.permitted >= s.first, "the entries before %d are missing, and none permits to prune them", s.first)
	return s
}

// checkTileFiles compares every file beneath tile/ with what the segments make of it.
func (s *segments) checkTileFiles(dir tileDir, entries [][]byte) {
	root := filepath.Join(string(dir), "tile")
	must(filepath.Walk(root, func(path string, info os.FileInfo, err error) error {
		if err != nil || info.IsDir() {
			return err
		}
		relative, _ := filepath.Rel(root, path)
		level, name, _ := strings.Cut(filepath.ToSlash(relative), "/")
		name = fmt.Sprintf("tile/%d/%s/%s", tileHeight, strings.Replace(level, "entries", "data", 1), name)
		tile, err := tlog.ParseTilePath(name)
		check(err == nil && info.Mode().IsRegular(), "%s does not belong to the log", path)
		end := tile.N<<tileHeight + int64(tile.W)
		check(end <= s.size>>uint(tileHeight*max(tile.L, 0)), "%s goes beyond the log", path)
		var expected []byte
		if start := tile.N << tileHeight; tile.L < 0 && start < s.first {
			held := splitBundle(read(path), path)
			check(len(held) == tile.W, "%s holds %d entries", path, len(held))
			for i, text := range held {
				leaf, err := s.ReadHashes([]int64{tlog.StoredHashIndex(0, start+int64(i))})
				must(err, "leaf")
				check(tlog.RecordHash(text) == leaf[0], "%s: entry %d is not what was signed", path, i)
			}
			return nil
		} else if tile.L < 0 {
			for _, entry := range entries[tile.N<<tileHeight : end] {
				expected = append(expected, byte(len(entry)>>8), byte(len(entry)))
				expected = append(expected, entry...)
			}
		} else {
			expected, err = tlog.ReadTileData(tile, s)
			must(err, "ReadTileData")
		}
		check(bytes.Equal(expected, read(path)), "%s is not what the segments say", path)
		return nil
	}), "tiles")
}

func max(a, b int) int {
	if a > b {
		return a
	}
	return b
}

func allEntries(dir string, first int64) [][]byte {
	entries := make([][]byte, first)
	files, _ := filepath.Glob(filepath.Join(dir, "segment", "*"))
	for _, path := range files {
		for data := read(path); len(data) > 20 && !isTail(data); {
			end := 20 + int(binary.LittleEndian.Uint32(data[16:])) + 32
			entries = append(entries, splitBundle(data[20:end-32], path)...)
			data = data[end+noteFrame:]
		}
	}
	return entries
}

func main() {
	since := flag.String("since", "", "an older checkpoint")
	cosigned := flag.String("cosigned", "", "a cosigned checkpoint")
	witnessKey := flag.String("witness", "", "the key that must have cosigned it")
	flag.Parse()
	check(flag.NArg() == 2, "usage: independent_verify [OPTIONS] LOG_DIR VKEY_FILE")
	log := flag.Arg(0)
	vkey := firstLine(flag.Arg(1))
	origin := verifier(vkey).Name()
	all := readSegments(log, origin, vkey)
	check(all.hasKey(), "the log never had this key")
	if lines := strings.Split(string(read(flag.Arg(1))), "\n"); len(lines) > 1 && lines[1] != "" && all.first == 0 {
		check(all.chain[0].first == lines[1], "epoch 0 had another key: a history of its own")
	}

	checkpoint := read(filepath.Join(log, "checkpoint"))
	tree := open(checkpoint, all.of(checkpoint)...)
	checkPublished(tileDir(log), tree, all.first)
	if *since != "" {
		old := read(*since)
		checkContinues(tileDir(log), open(old, all.of(old)...), tree)
	}
	check(all.root(tree.N) == tree.Hash, "the checkpoint's tree is not that of the segments")
	check(bytes.HasPrefix(checkpoint, all.notes[tree.N]) && all.notes[tree.N] != nil,
		"the checkpoint is none of the segments'")
	all.checkTileFiles(tileDir(log), allEntries(log, all.first))

	if *cosigned != "" {
		data := read(*cosigned)
		keys := all.of(data)
		seen := open(data, append(keys[:len(keys):len(keys)], newWitness(firstLine(*witnessKey)))...)
		check(all.root(seen.N) == seen.Hash, "FORK: the witness saw another tree")
	}
	fmt.Printf("%d %x\n", tree.N, tree.Hash[:])
}
