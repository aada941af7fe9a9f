-- Prints what glibc's resolver makes of /etc/resolv.conf: struct __res_state of <resolv.h>, whose
-- layout is part of glibc's ABI.
local ffi = require "ffi"
ffi.cdef [[
typedef struct { uint16_t family, port; uint8_t addr[4]; uint8_t zero[8]; } in4;
typedef struct { uint16_t family, port; uint32_t flow; uint8_t addr[16]; uint32_t scope; } in6;
typedef struct {
	int retrans, retry; unsigned long options; int nscount; in4 list[3]; unsigned short id;
	char *search[7]; char domain[256]; unsigned long pfcode; unsigned bits;
	struct { uint8_t addr[4]; uint32_t mask; } sort[10];
	void *unused1, *unused2; int herrno, vcsock; unsigned flags;
	struct { uint16_t nscount, nsmap[3]; int socks[3]; uint16_t nscount6, nsinit; in6 *addrs[3]; } ext;
} state;
state *__res_state(void);
int __res_init(void);
]]
assert(ffi.C.__res_init() == 0)
local s = ffi.C.__res_state()
for i = 0, s.nscount - 1 do
	local v4 = s.list[i]
	if v4.family ~= 0 then
		print(string.format("nameserver %d.%d.%d.%d", v4.addr[0], v4.addr[1], v4.addr[2], v4.addr[3]))
	else
		local v6, t = s.ext.addrs[i], {}
		for k = 0, 15 do t[#t + 1] = string.format("%02x", v6.addr[k]) end
		print("nameserver " .. table.concat(t) .. " " .. v6.scope)
	end
end
for i = 0, 6 do
	if s.search[i] == nil then break end
	print("search " .. ffi.string(s.search[i]))
end
