// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {TurningMarket} from "./TurningMarket.sol";

/// @notice Tokens without decimals, and with forty.
contract DecimalsTest is TurningMarket {
    function setUp() public override {
        super.setUp();
        (market, coin) = _marketOver(0, 1000, 1);
        _settleIn(1000, 10_000);
    }

    /// @notice P1.4: without decimals a unit is a whole token; every division still gives its dust to the requester.
    /// forge-config: default.fuzz.runs = 128
    /// forge-config: ci.fuzz.runs = 1000
    function testFuzz_noDecimals_everyUnitIsSomewhere(uint32 score, uint8 price) public {
        JobTerms memory terms = _terms();
        (terms.priceCap, terms.fee, terms.bond, terms.collateral) = (255, 1, 51, 51);
        bytes32 id = _post(terms);
        (Bid[] memory bids, bytes[] memory signatures) = _offers(id, 1, price);
        vm.prank(requester);
        market.accept(terms, bids, signatures);
        _submit(id, 0, WORD);
        _pin(id);
        score = uint32(bound(score, 700_000, 1_000_000));
        _commitAll(id, _vote(score));
        _revealAll(id, _vote(score));
        uint256 owners = _ownersFree();
        _settle(terms);
        assertEq(_ownersFree(), owners + 3, "a fee of one unit is paid");
        assertEq(_locked(), 24 * 1000);
        assertEq(coin.balanceOf(address(market)), _allFree() + _locked() + market.burned());
    }

    function _ownersFree() private view returns (uint256 sum) {
        for (uint256 i; i < OWNERS; ++i) {
            sum += market.free(_owner(i));
        }
    }

    /// @notice P1.2: a term is 96 bits, of a token with 40 decimals less than a millionth of one; sums have 256 bits, and
    /// nothing is cut.
    function test_fortyDecimals_sumsAboveOneTerm_areNotCut() public {
        uint96 most = type(uint96).max;
        (market, coin) = _marketOver(40, most / 30, 1e9);
        address owner = makeAddr("rich");
        coin.mint(owner, 1e40);
        vm.startPrank(owner);
        market.deposit(1e40);
        assertEq(market.free(owner), 1e40, "the ledger's own numbers have 256 bits");
        market.stake(31, owner, 0);
        assertGt(_locked(), most);
        assertEq(_locked(), 31 * uint256(most / 30));
        market.withdraw(owner, 1e40 - 31 * uint256(most / 30));
        vm.stopPrank();
        assertEq(coin.balanceOf(address(market)), _locked());
    }
}
