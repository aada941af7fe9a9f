package kmod

import (
	"bytes"
	"debug/elf"
	"encoding/binary"
	"io"
	"strings"
)

// ko is a module to build: only what depmod looks at.
type ko struct {
	info    []string // lines of .modinfo
	exports []string
	needs   []string // undefined symbols
	bits    int      // 32 or 64
}

// build makes the ELF file: sections .modinfo, __ksymtab_strings, .symtab, .strtab and .shstrtab.
func (k ko) build() []byte {
	bo := binary.LittleEndian
	text := func(parts []string) []byte { return []byte(strings.Join(parts, "\x00") + "\x00") }
	strtab := []byte{0}
	var symtab bytes.Buffer
	symbol := func(name string, info byte, section uint16) {
		at := uint32(0)
		if name != "" {
			at = uint32(len(strtab))
			strtab = append(append(strtab, name...), 0)
		}
		if k.bits == 64 {
			binary.Write(&symtab, bo, elf.Sym64{Name: at, Info: info, Shndx: section})
		} else {
			binary.Write(&symtab, bo, elf.Sym32{Name: at, Info: info, Shndx: section})
		}
	}
	symbol("", 0, 0)
	locals := 1
	for _, s := range k.exports {
		symbol("__ksymtab_"+s, elf.ST_INFO(elf.STB_LOCAL, elf.STT_OBJECT), 1)
		symbol("__crc_"+s, elf.ST_INFO(elf.STB_LOCAL, elf.STT_NOTYPE), uint16(elf.SHN_ABS)) // where depmod looks first
		locals += 2
	}
	for _, s := range k.exports {
		symbol(s, elf.ST_INFO(elf.STB_GLOBAL, elf.STT_FUNC), 1)
	}
	for _, s := range k.needs {
		symbol(s, elf.ST_INFO(elf.STB_GLOBAL, elf.STT_NOTYPE), 0)
	}
	type section struct {
		name       string
		kind       elf.SectionType
		link, info uint32
		data       []byte
	}
	sections := []section{{}, {".modinfo", elf.SHT_PROGBITS, 0, 0, text(k.info)}}
	if len(k.exports) > 0 {
		sections = append(sections, section{"__ksymtab_strings", elf.SHT_PROGBITS, 0, 0, text(append(k.exports, "A_NAMESPACE"))})
	}
	sections = append(sections, section{".symtab", elf.SHT_SYMTAB, uint32(len(sections) + 1), uint32(locals), symtab.Bytes()},
		section{".strtab", elf.SHT_STRTAB, 0, 0, strtab})
	names := []byte{0}
	var at []uint32
	for _, s := range append(sections, section{name: ".shstrtab"}) {
		at = append(at, uint32(len(names)))
		names = append(append(names, s.name...), 0)
	}
	sections = append(sections, section{".shstrtab", elf.SHT_STRTAB, 0, 0, names})

	head, entry, symSize := 64, 64, 24
	if k.bits == 32 {
		head, entry, symSize = 52, 40, 16
	}
	var body, table bytes.Buffer
	for i, s := range sections {
		off, size := uint64(head+body.Len()), uint64(len(s.data))
		entSize := 0
		if s.kind == elf.SHT_SYMTAB {
			entSize = symSize
		}
		if k.bits == 64 {
			binary.Write(&table, bo, elf.Section64{Name: at[i], Type: uint32(s.kind), Off: off, Size: size, Link: s.link, Info: s.info, Addralign: 1, Entsize: uint64(entSize)})
		} else {
			binary.Write(&table, bo, elf.Section32{Name: at[i], Type: uint32(s.kind), Off: uint32(off), Size: uint32(size), Link: s.link, Info: s.info, Addralign: 1, Entsize: uint32(entSize)})
		}
		body.Write(s.data)
		for body.Len()%8 != 0 {
			body.WriteByte(0)
		}
	}
	var out bytes.Buffer
	ident := [16]byte{0x7f, 'E', 'L', 'F', byte(elf.ELFCLASS64), byte(elf.ELFDATA2LSB), byte(elf.EV_CURRENT)}
	n := uint16(len(sections))
	if k.bits == 64 {
		binary.Write(&out, bo, elf.Header64{Ident: ident, Type: uint16(elf.ET_REL), Machine: uint16(elf.EM_AARCH64), Version: 1,
			Shoff: uint64(head + body.Len()), Ehsize: uint16(head), Shentsize: uint16(entry), Shnum: n, Shstrndx: n - 1})
	} else {
		ident[4] = byte(elf.ELFCLASS32)
		binary.Write(&out, bo, elf.Header32{Ident: ident, Type: uint16(elf.ET_REL), Machine: uint16(elf.EM_ARM), Version: 1,
			Shoff: uint32(head + body.Len()), Ehsize: uint16(head), Shentsize: uint16(entry), Shnum: n, Shstrndx: n - 1})
	}
	out.Write(body.Bytes())
	out.Write(table.Bytes())
	return out.Bytes()
}

// tree is a small kernel: a chain of three, aliases with brackets, softdeps, a device node, a name
// with a dash.
func tree(bits int) map[string][]byte {
	const vermagic = "vermagic=6.12.0 SMP mod_unload"
	files := map[string]ko{
		"kernel/lib/base.ko": {info: []string{"license=GPL", "depends=", vermagic}, exports: []string{"base_get", "base_put"}},
		"kernel/fs/mid-dle.ko": {info: []string{"depends=base", "alias=fs-mid", "softdep=pre: crypto-sum post: late", vermagic},
			exports: []string{"mid_open"}, needs: []string{"base_get", "kernel_own"}},
		"kernel/fs/top.ko": {info: []string{"depends=mid-dle,base", "alias=pci:v0000104Cd000080[2-4]0sv*sd*bc*sc*i*",
			"alias=devname:top-control", "alias=block-major-7-*", "alias=char-major-10-237", "firmware=top/fw.bin", vermagic},
			needs: []string{"mid_open", "base_put"}},
		"kernel/crypto/sum_generic.ko":        {info: []string{"depends=", "alias=crypto-sum", "alias=crypto-sum-generic", vermagic}},
		"kernel/drivers/crypto/sum_engine.ko": {info: []string{"depends=", "alias=crypto-sum", vermagic}},
		"kernel/drivers/late.ko":              {info: []string{"depends=base", "weakdep=top", vermagic}, needs: []string{"base_get"}},
	}
	out := map[string][]byte{}
	for name, k := range files {
		k.bits = bits
		out[name] = k.build()
	}
	return out
}

var lists = Lists{
	Builtin:        []byte("kernel/fs/in-side.ko\nkernel/drivers/mmc/mmc_block.ko\n"),
	BuiltinModinfo: []byte("in_side.license=GPL\x00in_side.alias=fs-inside\x00mmc_block.alias=mmc:block-[0-9]\x00"),
	Order:          []byte("kernel/lib/base.ko\nkernel/fs/top.ko\nkernel/fs/mid-dle.ko\nkernel/drivers/crypto/sum_engine.ko\nkernel/drivers/late.ko\nkernel/crypto/sum_generic.ko\n"),
}

func files(tree map[string][]byte) (out []File) {
	for name, data := range tree {
		out = append(out, File{name, func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(data)), nil }})
	}
	return out
}
