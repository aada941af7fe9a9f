package bootscript

// text is boot.scr. s_ marks its own variables; v seq active trial left a b last are the record's.
// devtype and devnum come from U-Boot's boot flow and name the disk that the script was loaded
// from.
const text = `# boot.scr of ShelfOS, for @NAME@
if test "${board}" = "qemu-arm"; then
@VIRT@else
@BOARD@fi

# 1. The record: of two copies the valid one with the higher seq, the first if they are equal.
# s_clear first: import leaves a variable alone that the record does not have. s_bad is a copy that holds no record at all.
setenv s_clear 'for s_var in v seq active trial left a b last; do setenv ${s_var}; done'
${devtype} dev ${devnum}
setenv s_at
setenv s_bad
setenv s_best 0
for s_lba in @LBA0@ @LBA1@; do
	run s_clear
	setenv s_lost ${s_lba}
	if ${devtype} read ${s_initrd} ${s_lba} 1; then
		if env import -c ${s_initrd} @SIZE@ v seq active trial left a b last; then
			setenv s_lost
			setenv s_ok 0
			if test "${v}" = "@V@"; then
				if test "${active}" = "a" || test "${active}" = "b"; then
					if test "${left}" = "0" || test "${left}" = "1" || test "${left}" = "2" || test "${left}" = "3"; then
						setenv s_ok 1
					fi
				fi
			fi
			if test "${s_ok}" = "1"; then
				if test ${seq} -gt ${s_best}; then
					setenv s_best ${seq}
					setenv s_at ${s_lba}
				fi
			fi
		fi
	fi
	if test -n "${s_lost}"; then
		setenv s_bad ${s_lost}
	fi
done
if test -n "${s_at}"; then
	run s_clear
	if ${devtype} read ${s_initrd} ${s_at} 1; then
		if env import -c ${s_initrd} @SIZE@ v seq active trial left a b last; then
			echo "shelf: record ${s_at}: seq ${seq}, active ${active}, trial ${trial}, left ${left}, a ${a}, b ${b}, last ${last}"
		else
			setenv s_at
		fi
	else
		setenv s_at
	fi
fi

# 2. The slot, and one attempt less for it. A trial boots only if the attempt could be written down. A copy that is lost is
# written first: while the other one is rewritten in place, it is the only whole one.
setenv s_save 'env export -c -s @SIZE@ ${s_initrd} a active b last left seq trial v; if test -n "${s_bad}"; then ${devtype} write ${s_initrd} ${s_bad} 1; fi; ${devtype} write ${s_initrd} ${s_at} 1'
if test -n "${s_at}"; then
	if test "${left}" = "0"; then
		if test -n "${trial}"; then
			echo "shelf: slot ${trial} used up its attempts and is bad; back to slot ${active}"
			setenv ${trial} bad
			setenv last trial-${trial}-exhausted
			setenv trial
			setenv left 3
		elif test "${active}" = "a" && test "${b}" = "good"; then
			echo "shelf: slot a used up its attempts; slot b takes over"
			setenv active b
			setenv last slot-a-exhausted
			setenv left 3
		elif test "${active}" = "b" && test "${a}" = "good"; then
			echo "shelf: slot b used up its attempts; slot a takes over"
			setenv active a
			setenv last slot-b-exhausted
			setenv left 3
		else
			echo "shelf: slot ${active} used up its attempts and the other one is not good; once more"
			setenv last slot-${active}-exhausted
		fi
	fi
	if test "${left}" = "3"; then
		setenv left 2
	elif test "${left}" = "2"; then
		setenv left 1
	elif test "${left}" = "1"; then
		setenv left 0
	fi
	setenv s_trial ${trial}
	if run s_save; then
		echo "shelf: attempt counted, ${left} left"
	else
		echo "shelf: PROBLEM what went wrong: the boot record cannot be written"
		echo "shelf: PROBLEM how to fix it: replace the card"
		setenv s_trial
		setenv last record-not-writable
	fi
	setenv s_first ${active}
	if test -n "${s_trial}"; then
		setenv s_first ${s_trial}
	fi
else
	echo "shelf: no valid boot record; slot a, then slot b"
	setenv s_trial
	setenv s_first a
	setenv left 0
	setenv last no-record
fi
if test "${s_first}" = "a"; then
	setenv s_second b
else
	setenv s_second a
fi

# 3. The user's words for the kernel: the first line of usercmdline.txt, behind s_words= as env import wants it. A file that is too
# long is cut by load, so it is left out. Blanks first, so that the file begins where memory is aligned.
setenv s_words
if test -e ${devtype} ${devnum}:1 usercmdline.txt; then
	mw.b ${s_initrd} 0x20 0x40
	mw.l ${s_name} 0x6f775f73 1
	mw.l ${s_equal} 0x3d736472 1
	mw.b ${s_file} 0 0x200
	if load ${devtype} ${devnum}:1 ${s_file} usercmdline.txt @TOOLONG@; then
		if test "${filesize}" = "@TOOLONG@"; then
			echo "shelf: PROBLEM what went wrong: usercmdline.txt is too long and is left out"
			echo "shelf: PROBLEM how to fix it: leave at most @MOST@ bytes in it"
		else
			env import -t -r ${s_initrd} 0x240 s_words
		fi
	fi
fi

# 4. Load and boot it, else the other one: whatever loads is whole, an upgrade writes a slot's first sector last.
for s_slot in ${s_first} ${s_second}; do
	if test "${s_slot}" = "a"; then
		setenv s_part 2
	else
		setenv s_part 3
	fi
	setenv s_ok 0
	@LOADKERNEL@
	if test "${s_ok}" = "1"; then
		if test -n "${s_dtb}"; then
			setenv s_ok 0
			if load ${devtype} ${devnum}:${s_part} ${s_fdt} ${s_dtb}; then
				setenv s_ok 1
			fi
		fi
	fi
	if test "${s_ok}" = "1"; then
		if load ${devtype} ${devnum}:${s_part} ${s_initrd} initramfs; then
			setenv s_size ${filesize}
			setenv s_isnew 0
			if test "${s_slot}" = "${s_trial}"; then
				setenv s_isnew 1
			fi
			part uuid ${devtype} ${devnum}:1 s_disk
			setenv bootargs "console=tty0 console=${s_console} @ARGS@panic=10 shelf.disk=${s_disk} shelf.slot=${s_slot} shelf.board=@NAME@ shelf.trial=${s_isnew} shelf.left=${left} shelf.last=${last} ${s_words}"
			echo "shelf: booting slot ${s_slot}"
			@GO@ ${s_kernel} ${s_initrd}:${s_size} ${s_fdt}
		fi
	fi
	echo "shelf: slot ${s_slot} does not load"
	if test "${s_slot}" = "${s_first}"; then
		setenv last slot-${s_slot}-did-not-load
		if test "${s_slot}" = "${s_trial}"; then
			setenv ${s_trial} bad
			setenv trial
			setenv s_trial
			setenv last trial-${s_slot}-did-not-load
			setenv left 2
			run s_save
		fi
	fi
done

echo "shelf: PROBLEM what went wrong: neither slot holds a system that loads"
echo "shelf: PROBLEM how to fix it: write the card again; next try in 60 s"
sleep 60
reset
`
