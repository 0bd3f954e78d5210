module truth

go 1.17
